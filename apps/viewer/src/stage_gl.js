// The stage on which NiiVue draws: volumes, drawing, crosshair. `ImageStage` has the same methods.

import { NVImage, Niivue } from '@niivue/niivue';

import * as parts from './gl_parts.js';
import { tilesOf } from './layout.js';
import { AXES, Grid, usefulPlanes } from './planes.js';
import { SliceShader, isScalar, quietly } from './slice_shader.js';

const COARSE = 0.4; // device pixels per CSS pixel for the 3D view without a graphics card

export class GlStage {
  /**
   * @param {HTMLElement} host is filled with a canvas
   * @param {{onMove: () => void, onDraw: () => void, onLost: () => void}} calls when the crosshair moved; after a frame;
   *   when the graphics card gave up
   * @param {boolean} isSlow whether there is no graphics card
   */
  constructor(host, calls, isSlow) {
    Object.assign(this, { host, calls, isSlow });
    this.canHaveTools = true;
    this.canvas = document.createElement('canvas');
    this.canvas.setAttribute('aria-hidden', 'true'); // what it shows is said in the status line and the table
    this.frame = 0;
    this.windowing = 0;
    this.overlays = new Map();
  }

  async start() {
    this.host.append(this.canvas);
    this.nv = new Niivue(parts.OPTIONS);
    const none = () => {};
    for (const name of ['keyDownListener', 'keyUpListener', 'wheelListener', 'resetBriCon']) this.nv[name] = none;
    this.nv.setMouseEventConfig(parts.mouseButtons(false));
    this.nv.onLocationChange = () => this.calls.onMove();
    this.canvas.addEventListener('webglcontextlost', () => this.isClosed || this.calls.onLost());
    await this.nv.attachToCanvas(this.canvas);
    this.canvas.tabIndex = -1;
    parts.showStructuresOnly(this.nv);
    const refreshLayers = this.nv.refreshLayers.bind(this.nv);
    this.nv.refreshLayers = (volume, layer) => {
      if (layer === 0 && this.isOwnShader) quietly(this.nv.gl, () => refreshLayers(volume, layer));
      else refreshLayers(volume, layer);
    };
    const drawScene = this.nv.drawScene.bind(this.nv);
    this.nv.drawScene = () => {
      drawScene();
      this.calls.onDraw();
    };
  }

  /** Show the image of a scene. */
  async showImage(buffer, { window, factor, shape }) {
    this.overlays.clear();
    this.shader?.close();
    this.shader = null;
    [...this.nv.volumes].reverse().forEach((volume) => this.nv.removeVolume(volume));
    const about = { name: 'image.nii', colormap: 'gray', cal_min: window[0], cal_max: window[1] };
    this.image = await NVImage.loadFromUrl({ url: buffer, ...about });
    this.grid = new Grid(this.image.dimsRAS.slice(1, 4), this.image.permRAS, factor, shape);
    this.spacing = this.image.pixDimsRAS.slice(1, 4).map(Math.abs);
    this.planes = usefulPlanes(this.grid.dims);
    this.valueAt = parts.valueReader(this.image, this.grid);
    this.isOwnShader = isScalar(this.image, this.grid, this.nv);
    this.nv.addVolume(this.image);
    if (this.isOwnShader) this.shader = new SliceShader(this.nv, this.image, this.grid);
    this.setWindow(window);
    this.resetView();
  }

  showDrawing(drawing) {
    this.drawing = drawing;
    parts.attachDrawing(this.nv, drawing.bitmap);
    this.draw();
  }

  /** The drawing changed in a box. */
  refresh(box) {
    parts.uploadBox(this.nv, this.drawing.bitmap, this.grid.dims, box);
    this.draw();
  }

  /** Draw in the next frame, however often it is asked for until then. */
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.isClosed) this.nv.drawScene();
    });
  }

  get voxel() {
    return this.grid.clamp([...this.nv.frac2vox(this.nv.scene.crosshairPos)]);
  }

  set voxel(voxel) {
    this.nv.scene.crosshairPos = this.grid.clamp(voxel).map((v, axis) => (v + 0.5) / this.grid.dims[axis]);
    this.draw();
  }

  /** Where a voxel is in the patient, in mm to the right, front and head. */
  positionOf(voxel) {
    const fraction = voxel.map((v, axis) => (v + 0.5) / this.grid.dims[axis]);
    return [...this.nv.frac2mm(fraction, 0, true)].slice(0, 3);
  }

  setWindow([low, high]) {
    [this.image.cal_min, this.image.cal_max] = [low, high];
    if (this.shader) {
      this.shader.setWindow([low, high]);
      this.draw();
      return;
    }
    this.windowing ||= requestAnimationFrame(() => {
      this.windowing = 0;
      if (this.isClosed) return;
      this.nv.refreshLayers(this.image, 0);
      this.nv.drawScene();
    });
  }

  /** @param {{style: string, opacity: number, isHiding: boolean, isHidden: (value: number) => boolean}} look */
  setLabels(structures, look) {
    const isOutline = look.style === 'outline';
    this.nv.isHidingLabels = look.isHiding;
    this.nv.drawLut = parts.labelColours(structures, look.isHidden);
    this.nv.drawRimOpacity = isOutline && !look.isHiding ? 1 : -1;
    this.nv.drawOpacity = look.isHiding ? 0 : isOutline ? 0.01 : look.opacity; // the shader leaves out what is clear
    this.nv.refreshColormaps();
    this.draw();
  }

  setLayout(layout, has3D) {
    this.tiles = tilesOf(layout, this.planes, has3D);
    const only = this.tiles.length === 1 ? this.tiles[0].view : null;
    this.nv.customLayout = only
      ? null
      : this.tiles.map(({ view, place }) => ({ sliceType: parts.SLICE_TYPES[view], position: place }));
    this.nv.opts.sliceType = parts.SLICE_TYPES[only ?? 'axial'];
    const ratio = this.isSlow && only === 'render' ? COARSE : 0;
    if (ratio !== this.nv.opts.forceDevicePixelRatio) this.nv.setHighResolutionCapable(ratio);
    this.draw();
  }

  setCrosshair(isShown) {
    this.nv.setCrosshairWidth(isShown ? parts.OPTIONS.crosshairWidth : 0);
    this.nv.opts.show3Dcrosshair = isShown;
    this.draw();
  }

  setMeasuring(measures) {
    this.nv.setMouseEventConfig(parts.mouseButtons(measures));
  }

  clearMeasures() {
    this.nv.clearAllMeasurements();
  }

  /** Enlarge the slices around the crosshair, or turn back with a factor below 1; or the 3D view. */
  zoom(factor, view) {
    if (view === 'render') {
      this.nv.setScale(this.nv.scene.volScaleMultiplier * factor);
      return;
    }
    const pan = this.nv.scene.pan2Dxyzmm;
    const scale = Math.min(20, Math.max(1, pan[3] * factor));
    const mm = this.nv.frac2mm(this.nv.scene.crosshairPos);
    for (let axis = 0; axis < 3; axis++) pan[axis] = scale === 1 ? 0 : pan[axis] + (pan[3] - scale) * mm[axis];
    pan[3] = scale;
    this.draw();
  }

  resetView() {
    this.nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
    this.nv.setRenderAzimuthElevation(...parts.FROM_FRONT);
    this.nv.setScale(parts.SCALE_3D);
    this.draw();
  }

  /**
   * What is under a point of the page.
   *
   * @returns {{view: string, slice: number, point: number[], mmPerPixel: number}|null} point is [u, v] in voxels of the
   *   slice and may lie outside of it; null beside the views
   */
  at(clientX, clientY, view) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.nv.uiData.dpr;
    const index = this.nv.screenSlices.findIndex((tile) => tile.axCorSag === parts.SLICE_TYPES[view]);
    if (index < 0 || view === 'render') return null;
    const pixel = [(clientX - box.left) * scale, (clientY - box.top) * scale];
    const fraction = this.nv.screenXY2TextureFrac(...pixel, index, false);
    const { u, v, w } = AXES[view];
    const tile = this.nv.screenSlices[index];
    return {
      view,
      slice: this.voxel[w],
      point: [fraction[u] * this.grid.dims[u], fraction[v] * this.grid.dims[v]],
      mmPerPixel: (Math.abs(tile.fovMM[0]) / tile.leftTopWidthHeight[2]) * scale,
    };
  }

  /** Where a voxel is on the stage, in the views whose slice it is on: [x, y] in CSS pixels for each of them. */
  pixelsOf(voxel) {
    const fraction = voxel.map((v, axis) => (v + 0.5) / this.grid.dims[axis]);
    const here = this.voxel;
    const found = Object.entries(AXES)
      .filter(([, { w }]) => here[w] === voxel[w])
      .map(([view]) => this.nv.frac2canvasPosWithTile(fraction, parts.SLICE_TYPES[view]));
    return found.filter(Boolean).map(({ pos }) => pos.map((n) => n / this.nv.uiData.dpr));
  }

  /** Show an overlay: its values have colours, or are more and less of something. */
  async addOverlay(overlay, buffer) {
    const volume = await NVImage.loadFromUrl({ url: buffer, name: 'overlay.nii', opacity: overlay.opacity });
    if (overlay.colours === 'heat') {
      this.nv.addColormap('medseg-heat', parts.heatColormap());
      Object.assign(volume, { colormap: 'medseg-heat', cal_min: 0, cal_max: 255, colormapType: 0 });
    } else {
      volume.setColormapLabel(parts.valueColormap(overlay.colours));
    }
    this.nv.addVolume(volume);
    this.overlays.set(overlay.name, volume);
  }

  setOverlayOpacity(name, opacity) {
    const volume = this.overlays.get(name);
    if (volume) this.nv.setOpacity(this.nv.volumes.indexOf(volume), opacity);
  }

  removeOverlay(name) {
    const volume = this.overlays.get(name);
    if (volume) this.nv.removeVolume(volume);
    this.overlays.delete(name);
  }

  close() {
    this.isClosed = true;
    this.nv?.cleanup();
    this.nv?.gl?.getExtension('WEBGL_lose_context')?.loseContext(); // a page has sixteen contexts, then old ones die
    this.canvas.remove();
  }
}

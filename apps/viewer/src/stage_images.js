// The stage where the browser has no WebGL2: slices come as pictures from the server. Same methods as `GlStage`.

import { tilesOf } from './layout.js';
import { Counting, usefulPlanes } from './planes.js';

export class ImageStage {
  /**
   * @param {HTMLElement} host is filled with pictures
   * @param {{onMove: () => void}} calls when another slice is shown
   * @param {object} scene
   */
  constructor(host, calls, scene) {
    Object.assign(this, { host, calls });
    this.canHaveTools = false;
    this.pictures = new Map(); // by plane: {image, shown, wanted}
    this.show(scene);
  }

  /** Take another scene. */
  show(scene) {
    this.scene = scene;
    this.counting = new Counting(scene);
    this.grid = this.counting.grid;
    this.planes = usefulPlanes(this.grid.dims);
    this.place = this.grid.dims.map((n) => Math.floor(n / 2));
    this.window = scene.window;
    this.look = { style: 'fill', isHiding: false, isHidden: () => false };
  }

  /** Take another scene of the same image. */
  take(scene) {
    this.scene = scene;
    this.draw();
  }

  async start() {}

  async showImage() {}

  get voxel() {
    return this.place;
  }

  set voxel(voxel) {
    this.place = this.grid.clamp(voxel);
    this.draw();
    this.calls.onMove();
  }

  positionOf() {
    return null;
  }

  at() {
    return null;
  }

  setWindow(window) {
    this.window = window;
    this.draw();
  }

  setLabels(structures, look) {
    this.structures = structures;
    this.look = look;
    this.draw();
  }

  setLayout(layout) {
    this.tiles = tilesOf(layout === 'render' ? 'grid' : layout, this.planes, false);
    this.pictures.forEach(({ image }) => image.remove());
    this.pictures.clear();
    for (const { view, place } of this.tiles) {
      const image = document.createElement('img');
      image.alt = ''; // what it shows is said in the status line and the table
      image.className = 'slice';
      const [left, top, width, height] = place.map((part) => `${part * 100}%`);
      Object.assign(image.style, { left, top, width, height });
      const settle = () => this.settle(view);
      image.addEventListener('load', settle);
      image.addEventListener('error', settle);
      this.pictures.set(view, { image, shown: '', wanted: '' });
      this.host.append(image);
    }
    this.draw();
  }

  setCrosshair() {}

  setMeasuring() {}

  clearMeasures() {}

  zoom() {}

  resetView() {}

  close() {
    this.pictures.forEach(({ image }) => image.remove());
  }

  /** Ask for the pictures that are to be seen; while one is under way, only the last wish for it counts. */
  draw() {
    for (const [plane, picture] of this.pictures) {
      picture.wanted = this.address(plane);
      if (!picture.isLoading) this.load(picture);
    }
  }

  load(picture) {
    if (picture.wanted === picture.shown) return;
    picture.isLoading = true;
    picture.shown = picture.wanted;
    picture.image.src = picture.wanted;
  }

  settle(plane) {
    const picture = this.pictures.get(plane);
    if (!picture) return;
    picture.isLoading = false;
    this.load(picture);
  }

  address(plane) {
    const { structures = [], look, window, scene } = this;
    const hidden = structures.map(({ value }) => value).filter(look.isHidden);
    const style = look.isHiding ? 'none' : look.style;
    const query = new URLSearchParams({ low: window[0], high: window[1], style, hidden: hidden.join(',') });
    const index = this.counting.indexOf(plane, this.grid.toOriginal(this.place));
    return `${scene.slice_url}/${plane}/${index}.png?${query}`;
  }
}

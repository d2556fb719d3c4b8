// Small pieces around NiiVue: its options, colours, and what it does not offer as a method.

import { DRAG_MODE, SLICE_TYPE } from '@niivue/niivue';

export const SLICE_TYPES = {
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
  render: SLICE_TYPE.RENDER,
};

const SOFTWARE = /swiftshader|llvmpipe|software|softpipe|basic render/i;
const DRAW_TEXTURE = 33991; // TEXTURE7, where NiiVue keeps the drawing
const OCCLUSION = 0.5;
export const FROM_FRONT = [200, 15]; // azimuth and elevation: from the front, right on the left as in the slices
export const SCALE_3D = 1.4; // the structures alone are smaller than the image around them

export const OPTIONS = {
  isRadiologicalConvention: true,
  sagittalNoseLeft: true, // as our server draws it
  isOrientationTextVisible: false, // the frame writes the letters
  isForceMouseClickToVoxelCenters: true,
  backColor: [0, 0, 0, 1],
  crosshairColor: [0.4, 0.75, 1, 0.85],
  crosshairWidth: 0.25,
  crosshairWidthUnit: 'percent',
  crosshairGap: 6,
  fontColor: [1, 0.8, 0.35, 1],
  fontMinPx: 14,
  measureTextColor: [1, 0.9, 0.2, 1],
  measureLineColor: [1, 0.9, 0.2, 1],
  rulerColor: [1, 0.9, 0.2, 1],
  rulerWidth: 2,
  dragAndDropEnabled: false, // a file dropped here would be shown instead of the case
  clipPlaneHotKey: '',
  cycleClipPlaneHotKey: '',
  viewModeHotKey: '',
  isOrientCube: true,
  loadingText: '',
  logLevel: 'silent',
};

/** What the mouse buttons do inside NiiVue; windowing and the tools are our own. */
export function mouseButtons(measures) {
  return {
    leftButton: { primary: measures ? DRAG_MODE.measurement : DRAG_MODE.crosshair, withShift: DRAG_MODE.pan },
    centerButton: DRAG_MODE.pan,
    rightButton: DRAG_MODE.none,
  };
}

/** Whether the browser can draw with WebGL2, and whether a graphics card does it. */
export function webglKind() {
  const context = document.createElement('canvas').getContext('webgl2');
  if (!context) return { works: false, isSlow: true };
  const about = context.getExtension('WEBGL_debug_renderer_info');
  const renderer = context.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : context.RENDERER);
  context.getExtension('WEBGL_lose_context')?.loseContext();
  return { works: true, isSlow: SOFTWARE.test(renderer) };
}

/** Colours of labels as NiiVue wants them: four bytes a value; hidden ones are clear, nameless ones grey. */
export function labelColours(structures, isHidden) {
  const lut = new Uint8ClampedArray(256 * 4).fill(160);
  for (let value = 0; value < 256; value++) lut[value * 4 + 3] = 255;
  for (const { value, colour } of structures) lut.set([...colour, isHidden(value) ? 0 : 255], value * 4);
  lut[3] = 0;
  return { lut, labels: Array.from({ length: 256 }, (_, value) => String(value)) };
}

/** NiiVue's 3D view shows the image around the structures; ours shows the structures alone, whatever hides them in 2D. */
export function showStructuresOnly(nv) {
  const draw = nv.drawImage3D.bind(nv);
  nv.setRenderDrawAmbientOcclusion(OCCLUSION);
  nv.drawImage3D = (...args) => {
    const opacity = nv.drawOpacity;
    nv.renderShader.use(nv.gl);
    nv.gl.uniform1f(nv.renderShader.uniforms.backOpacity, 0);
    nv.drawOpacity = nv.isHidingLabels ? 0 : 1;
    draw(...args);
    nv.drawOpacity = opacity;
  };
}

/** Give NiiVue a drawing that is in RAS order already. NiiVue draws from this very array. */
export function attachDrawing(nv, bitmap) {
  nv.drawBitmap = bitmap;
  nv.drawTexture = nv.r8Tex(nv.drawTexture, DRAW_TEXTURE, nv.back.dims, true);
  nv.refreshDrawing(false);
}

/** Send a box of the drawing to the graphics card; all of it would take long in a large study. */
export function uploadBox(nv, bitmap, dims, [first, last]) {
  const { gl } = nv;
  if (nv.opts.is2DSliceShader) {
    nv.refreshDrawing(false);
    return;
  }
  const size = first.map((from, axis) => last[axis] - from + 1);
  const skips = [gl.UNPACK_SKIP_PIXELS, gl.UNPACK_SKIP_ROWS, gl.UNPACK_SKIP_IMAGES];
  gl.activeTexture(DRAW_TEXTURE);
  gl.bindTexture(gl.TEXTURE_3D, nv.drawTexture);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.pixelStorei(gl.UNPACK_ROW_LENGTH, dims[0]);
  gl.pixelStorei(gl.UNPACK_IMAGE_HEIGHT, dims[1]);
  skips.forEach((name, axis) => gl.pixelStorei(name, first[axis]));
  gl.texSubImage3D(gl.TEXTURE_3D, 0, ...first, ...size, gl.RED, gl.UNSIGNED_BYTE, bitmap);
  [gl.UNPACK_ROW_LENGTH, gl.UNPACK_IMAGE_HEIGHT, ...skips].forEach((name) => gl.pixelStorei(name, 0));
}

/** Reads values of an image that is kept in the file's order, by the index of a voxel in RAS order. */
export function valueReader(image, grid) {
  const { start, steps } = grid.fileSteps();
  const [nx, ny] = grid.dims;
  const slope = image.hdr.scl_slope || 1;
  const inter = image.hdr.scl_inter || 0;
  const parts = Math.round(image.img.length / grid.size); // 4 for colours
  return (index) => {
    const x = index % nx;
    const y = Math.floor(index / nx) % ny;
    const z = Math.floor(index / (nx * ny));
    const place = start + x * steps[0] + y * steps[1] + z * steps[2];
    return parts > 1 ? image.img[place * parts] : image.img[place] * slope + inter;
  };
}

const HEAT_STOPS = [[20, 11, 53], [101, 21, 110], [186, 54, 85], [240, 112, 32], [252, 255, 164]];

/**
 * Clear at 0, then less and less so, from dark to bright. The colours are those of Matplotlib's `inferno`, which
 * colour-blind readers tell apart.
 */
export function heatColormap() {
  const column = (part) => [0, ...HEAT_STOPS.map((stop) => stop[part])];
  return { R: column(0), G: column(1), B: column(2), A: [0, 0, 150, 210, 255, 255], I: [0, 1, 64, 128, 192, 255] };
}

/** The same colours for a bar in the page. */
export const HEAT_GRADIENT = `linear-gradient(to right, ${HEAT_STOPS.map((stop) => `rgb(${stop.join(' ')})`).join(', ')})`;

/** Colours of the values of an overlay; 0 is clear. */
export function valueColormap(colours) {
  const column = (part) => [0, ...colours.map(({ colour }) => colour[part])];
  return {
    R: column(0),
    G: column(1),
    B: column(2),
    A: [0, ...colours.map(() => 255)],
    I: [0, ...colours.map(({ value }) => value)],
    labels: ['', ...colours.map(({ name }) => name)],
  };
}

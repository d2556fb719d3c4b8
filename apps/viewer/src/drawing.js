// The drawing: one byte a voxel in RAS order, its history, and the way from and to the file that the server gave.

import { Edit, History } from './history.js';
import { readByteHeader } from './nifti.js';

export class Drawing {
  /**
   * @param {import('./planes.js').Grid} grid
   * @param {Uint8Array} bitmap labels in RAS order
   * @param {Uint8Array} header all bytes of the file before its voxels; they go back as they came
   */
  constructor(grid, bitmap, header) {
    this.grid = grid;
    this.bitmap = bitmap;
    this.header = header;
    this.history = new History();
    this.drawn = new Set(); // `plane:slice:value` where the reader drew by hand
  }

  /**
   * The drawing in a raw NIfTI file.
   *
   * @throws {Error} one sentence if the file does not fit the grid
   */
  static read(buffer, grid) {
    const { voxels, header } = fileVoxels(buffer, grid);
    return new Drawing(grid, toRas(voxels, grid), header);
  }

  /** The labels of another raw NIfTI file on the same grid, in RAS order. */
  labelsOf(buffer) {
    return toRas(fileVoxels(buffer, this.grid).voxels, this.grid);
  }

  /** The drawing as the file that the server gave, with the present labels: parts for a Blob, a copy. */
  fileParts() {
    return [this.header, toFileOrder(this.bitmap, this.grid)];
  }

  begin(name) {
    return new Edit(name, this.bitmap);
  }

  /** Keep an edit. `box` is where it was: [[x, y, z] first, [x, y, z] last]. Returns whether anything changed. */
  commit(edit, box) {
    return this.history.add(edit, box);
  }

  get whole() {
    return [[0, 0, 0], this.grid.dims.map((n) => n - 1)];
  }
}

function fileVoxels(buffer, grid) {
  const { shape, offset } = readByteHeader(buffer);
  if (shape.some((n, axis) => n !== grid.toShape()[axis])) {
    throw new Error(`the outlines have ${shape.join('×')} voxels and the image ${grid.toShape().join('×')}`);
  }
  return { voxels: new Uint8Array(buffer, offset, grid.size), header: new Uint8Array(buffer.slice(0, offset)) };
}

function toRas(voxels, grid) {
  const { start, steps } = grid.fileSteps();
  const bitmap = new Uint8Array(grid.size);
  const [nx, ny, nz] = grid.dims;
  let n = 0;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = start + z * steps[2] + y * steps[1];
      for (let x = 0; x < nx; x++) bitmap[n++] = voxels[row + x * steps[0]];
    }
  }
  return bitmap;
}

function toFileOrder(bitmap, grid) {
  const { start, steps } = grid.fileSteps();
  const voxels = new Uint8Array(grid.size);
  const [nx, ny, nz] = grid.dims;
  let n = 0;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = start + z * steps[2] + y * steps[1];
      for (let x = 0; x < nx; x++) voxels[row + x * steps[0]] = bitmap[n++];
    }
  }
  return voxels;
}

/**
 * A voxel of a label in the middle of the axial slice where the label is largest.
 *
 * @returns {number[]|null} null if no voxel has the label
 */
export function heartOf(bitmap, dims, value) {
  const plane = dims[0] * dims[1];
  let [best, most] = [-1, 0];
  for (let z = 0; z < dims[2]; z++) {
    let count = 0;
    for (let n = z * plane; n < (z + 1) * plane; n++) count += bitmap[n] === value ? 1 : 0;
    if (count > most) [best, most] = [z, count];
  }
  return best < 0 ? null : [...middleVoxel(bitmap.subarray(best * plane, (best + 1) * plane), dims[0], value), best];
}

/** The pixel of a label that is nearest to the middle of all of them. */
function middleVoxel(slice, width, value) {
  const pixels = [];
  slice.forEach((label, n) => label === value && pixels.push([n % width, Math.floor(n / width)]));
  const mean = [0, 1].map((axis) => pixels.reduce((sum, pixel) => sum + pixel[axis], 0) / pixels.length);
  const far = (pixel) => (pixel[0] - mean[0]) ** 2 + (pixel[1] - mean[1]) ** 2;
  return pixels.reduce((near, pixel) => (far(pixel) < far(near) ? pixel : near));
}

// What the drawing tools do to the drawing. A place in a slice is {plane, slice, point: [u, v]}, as in shapes.js.

import { masksBetween } from './between.js';
import { grow } from './grow.js';
import { AXES } from './planes.js';
import { ellipse, polygon, stroke } from './shapes.js';

/** A slice of the grid: its size and spacing along u and v, and the index of its voxels. */
export class Slice {
  constructor(grid, spacing, plane, slice) {
    const { u, v, w } = AXES[plane];
    const strides = [1, grid.dims[0], grid.dims[0] * grid.dims[1]];
    Object.assign(this, { plane, slice, axes: { u, v, w } });
    this.size = [grid.dims[u], grid.dims[v]];
    this.spacing = [spacing[u], spacing[v]];
    this.index = (pu, pv) => slice * strides[w] + pu * strides[u] + pv * strides[v];
  }

  /** The voxel at [u, v] as [x, y, z]. */
  voxel(pu, pv) {
    const voxel = [0, 0, 0];
    const { u, v, w } = this.axes;
    [voxel[u], voxel[v], voxel[w]] = [pu, pv, this.slice];
    return voxel;
  }

  /** The box of the whole slice, or of the voxels from `first` to `last`. */
  box(first = [0, 0], last = this.size.map((n) => n - 1)) {
    return [this.voxel(...first), this.voxel(...last)];
  }

  /** Mask of the voxels with a label. */
  mask(bitmap, value) {
    const mask = new Uint8Array(this.size[0] * this.size[1]);
    for (let v = 0; v < this.size[1]; v++) {
      for (let u = 0; u < this.size[0]; u++) mask[v * this.size[0] + u] = bitmap[this.index(u, v)] === value ? 1 : 0;
    }
    return mask;
  }
}

/**
 * How a voxel is set: to the chosen structure, or to nothing where it is the chosen structure.
 *
 * @param {{value: number, erases: boolean, protects: boolean}} pen `protects` leaves other structures as they are
 */
export function penOn(edit, pen) {
  const { bitmap } = edit;
  if (pen.erases) return (index) => bitmap[index] === pen.value && edit.put(index, 0);
  if (pen.protects) return (index) => bitmap[index] === 0 && edit.put(index, pen.value);
  return (index) => edit.put(index, pen.value);
}

/** A brush stroke that grows with every point of the pointer. */
export class BrushStroke {
  constructor(drawing, slice, pen, radius) {
    Object.assign(this, { drawing, slice, pen, radius, last: null });
    this.edit = drawing.begin(pen.erases ? 'erase' : 'paint');
    this.put = penOn(this.edit, pen);
  }

  /** Go on to a point. Returns the box that may have changed. */
  to(point) {
    const from = this.last ?? point;
    const { slice } = this;
    stroke(from, point, this.radius, slice.spacing, slice.size, (u, v) => this.put(slice.index(u, v)));
    this.last = point;
    return slice.box();
  }

  end() {
    return finish(this.drawing, this.edit, this.slice, this.pen);
  }
}

/** Fill a closed line. Returns whether anything changed. */
export function fillPolygon(drawing, slice, pen, points) {
  const edit = drawing.begin('polygon');
  const put = penOn(edit, pen);
  polygon(points, slice.size, (u, v) => put(slice.index(u, v)));
  return finish(drawing, edit, slice, pen);
}

/** Fill the ellipse in a box. Returns whether anything changed. */
export function fillEllipse(drawing, slice, pen, a, b) {
  const edit = drawing.begin('ellipse');
  const put = penOn(edit, pen);
  ellipse(a, b, slice.size, (u, v) => put(slice.index(u, v)));
  return finish(drawing, edit, slice, pen);
}

/**
 * Let the chosen structure grow from a point over voxels of like value.
 *
 * @param {{tolerance: number, is3D: boolean}} how
 * @returns {{changed: boolean, box: number[][], isCut: boolean}}
 */
export function growFrom(drawing, slice, pen, point, valueAt, how) {
  const edit = drawing.begin('grow');
  const put = penOn(edit, pen);
  const { bitmap, grid } = drawing;
  const isFree = (index) => !pen.protects || bitmap[index] === 0 || bitmap[index] === pen.value;
  const across = how.is3D ? null : slice.axes.w;
  const seed = slice.voxel(...point.map(Math.floor));
  const region = grow(seed, grid.dims, valueAt, isFree, { tolerance: how.tolerance, across });
  region.indices.forEach(put);
  if (!how.is3D) return { ...region, changed: finish(drawing, edit, slice, pen) };
  return { ...region, changed: drawing.commit(edit, region.box) };
}

/** Take the labels of one structure from other labels. Returns whether anything changed. */
export function revert(drawing, labels, value) {
  const edit = drawing.begin('revert');
  const { bitmap } = drawing;
  for (let n = 0; n < bitmap.length; n++) {
    if ((bitmap[n] === value || labels[n] === value) && bitmap[n] !== labels[n]) edit.put(n, labels[n]);
  }
  return drawing.commit(edit, drawing.whole);
}

/**
 * Fill the slices between two slices of the chosen structure: the ones nearest to `slice` on which the reader drew, or
 * else those at the ends of a gap in which `slice` lies.
 *
 * @returns {{changed: boolean, count: number}|null} null if there are no such two slices
 */
export function fillBetween(drawing, slice, spacing, pen) {
  const ends = drawnEnds(drawing, slice, pen.value) ?? gapEnds(drawing, slice, spacing, pen.value);
  if (!ends) return null;
  const [low, high] = ends.map((n) => new Slice(drawing.grid, spacing, slice.plane, n));
  const masks = [low, high].map((end) => end.mask(drawing.bitmap, pen.value));
  const between = masksBetween(...masks, slice.size, slice.spacing, ends[1] - ends[0] - 1);
  const edit = drawing.begin('fill between');
  const [paint, wipe] = [penOn(edit, { ...pen, erases: false }), penOn(edit, { ...pen, erases: true })];
  between.forEach((mask, n) => {
    const middle = new Slice(drawing.grid, spacing, slice.plane, ends[0] + n + 1);
    mask.forEach((pixel, i) => {
      const index = middle.index(i % slice.size[0], Math.floor(i / slice.size[0]));
      if (pixel) paint(index);
      else wipe(index);
    });
  });
  return { changed: drawing.commit(edit, [low.box()[0], high.box()[1]]), count: between.length };
}

function drawnEnds(drawing, slice, value) {
  const drawn = [...drawing.drawn]
    .map((name) => name.split(':'))
    .filter(([plane, , label]) => plane === slice.plane && Number(label) === value)
    .map(([, n]) => Number(n))
    .filter((n) => new Slice(drawing.grid, [1, 1, 1], slice.plane, n).mask(drawing.bitmap, value).includes(1))
    .sort((a, b) => a - b);
  const above = drawn.find((n, i) => i > 0 && n >= slice.slice && n - drawn[i - 1] > 1 && drawn[i - 1] <= slice.slice);
  return above === undefined ? null : [drawn[drawn.indexOf(above) - 1], above];
}

function gapEnds(drawing, slice, spacing, value) {
  const across = drawing.grid.dims[slice.axes.w];
  const has = (n) => new Slice(drawing.grid, spacing, slice.plane, n).mask(drawing.bitmap, value).includes(1);
  if (has(slice.slice)) return null;
  let [low, high] = [slice.slice - 1, slice.slice + 1];
  while (low >= 0 && !has(low)) low--;
  while (high < across && !has(high)) high++;
  return low < 0 || high >= across ? null : [low, high];
}

function finish(drawing, edit, slice, pen) {
  const changed = drawing.commit(edit, slice.box());
  if (changed) drawing.drawn.add(`${slice.plane}:${slice.slice}:${pen.value}`);
  return changed;
}

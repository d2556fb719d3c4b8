// Growing a region from a point over voxels of like value.

const MOST_VOXELS = 4_000_000;

/**
 * Voxels that hang together with the seed, and whose values differ from the seed's surroundings by `tolerance` at most.
 *
 * @param {number[]} seed voxel
 * @param {number[]} dims of the grid
 * @param {(index: number) => number} valueAt value of a voxel by its index
 * @param {(index: number) => boolean} isFree whether a voxel may be taken
 * @param {{tolerance: number, across: number|null}} how `across` is the axis along which nothing grows
 * @returns {{indices: number[], box: number[][], isCut: boolean}} isCut if the region was too large and stopped
 */
export function grow(seed, dims, valueAt, isFree, how) {
  const strides = [1, dims[0], dims[0] * dims[1]];
  const axes = [0, 1, 2].filter((axis) => axis !== how.across);
  const first = seed[0] + seed[1] * strides[1] + seed[2] * strides[2];
  const middle = mean(around(seed, dims, axes).map((voxel) => valueAt(dot(voxel, strides))));
  const fits = (index) => isFree(index) && Math.abs(valueAt(index) - middle) <= how.tolerance;
  const seen = new Set([first]);
  const indices = [];
  const box = [[...seed], [...seed]];
  const queue = fits(first) ? [first] : [];
  while (queue.length && indices.length < MOST_VOXELS) {
    const index = queue.pop();
    indices.push(index);
    const voxel = [index % dims[0], Math.floor(index / strides[1]) % dims[1], Math.floor(index / strides[2])];
    for (const axis of axes) {
      box[0][axis] = Math.min(box[0][axis], voxel[axis]);
      box[1][axis] = Math.max(box[1][axis], voxel[axis]);
      for (const step of [-1, 1]) {
        const next = index + step * strides[axis];
        const place = voxel[axis] + step;
        if (place < 0 || place >= dims[axis] || seen.has(next)) continue;
        seen.add(next);
        if (fits(next)) queue.push(next);
      }
    }
  }
  return { indices, box, isCut: queue.length > 0 };
}

/** The voxel and those beside it along the axes. */
function around(voxel, dims, axes) {
  const found = [voxel];
  for (const axis of axes) {
    for (const step of [-1, 1]) {
      const next = [...voxel];
      next[axis] += step;
      if (next[axis] >= 0 && next[axis] < dims[axis]) found.push(next);
    }
  }
  return found;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function dot(voxel, strides) {
  return voxel[0] * strides[0] + voxel[1] * strides[1] + voxel[2] * strides[2];
}

// Shapes between two slices: distances to the two outlines are mixed, after the centres of the shapes were put together.

const FAR = 1e20;

/**
 * Distance of each pixel to the edge of a mask, squared beforehand along both axes (Felzenszwalb and Huttenlocher,
 * 2012, Theory of Computing 8, algorithm 1): positive inside, negative outside.
 *
 * @param {Uint8Array} mask pixels of 0 and 1, rows of `size[0]`
 * @returns {Float64Array} in mm
 */
export function signedDistance(mask, size, spacing) {
  const outside = distanceTo(mask, size, spacing, 1);
  const inside = distanceTo(mask, size, spacing, 0);
  return inside.map((d, i) => Math.sqrt(d) - Math.sqrt(outside[i]));
}

/** Squared distance of each pixel to the nearest pixel with `value`. */
function distanceTo(mask, size, spacing, value) {
  const [width, height] = size;
  const squared = Float64Array.from(mask, (pixel) => (pixel === value ? 0 : FAR));
  const row = new Float64Array(width);
  for (let v = 0; v < height; v++) {
    lowerEnvelope(squared.subarray(v * width, (v + 1) * width), spacing[0], row);
    squared.set(row, v * width);
  }
  const column = new Float64Array(height);
  const result = new Float64Array(height);
  for (let u = 0; u < width; u++) {
    for (let v = 0; v < height; v++) column[v] = squared[v * width + u];
    lowerEnvelope(column, spacing[1], result);
    for (let v = 0; v < height; v++) squared[v * width + u] = result[v];
  }
  return squared;
}

/** For each place the smallest of `values[i] + (distance to i)²`. */
function lowerEnvelope(values, spacing, out) {
  const n = values.length;
  const places = new Int32Array(n);
  const edges = new Float64Array(n + 1);
  let k = 0;
  edges[0] = -FAR;
  edges[1] = FAR;
  const meet = (i, j) =>
    (values[i] + (i * spacing) ** 2 - values[j] - (j * spacing) ** 2) / (2 * spacing * spacing * (i - j));
  for (let i = 1; i < n; i++) {
    let edge = meet(i, places[k]);
    while (edge <= edges[k]) edge = meet(i, places[--k]);
    places[++k] = i;
    edges[k] = edge;
    edges[k + 1] = FAR;
  }
  k = 0;
  for (let i = 0; i < n; i++) {
    while (edges[k + 1] < i) k++;
    out[i] = ((i - places[k]) * spacing) ** 2 + values[places[k]];
  }
}

/** Middle of the pixels that are 1. */
export function centre(mask, width) {
  let [count, u, v] = [0, 0, 0];
  mask.forEach((pixel, i) => {
    if (!pixel) return;
    count++;
    u += i % width;
    v += Math.floor(i / width);
  });
  return [u / count, v / count];
}

/**
 * The masks of the slices between two slices.
 *
 * @param {Uint8Array} low mask of the lower slice; not empty
 * @param {Uint8Array} high mask of the upper slice; not empty
 * @param {number} count how many slices lie between
 * @returns {Uint8Array[]} from low to high
 */
export function masksBetween(low, high, size, spacing, count) {
  const [from, to] = [centre(low, size[0]), centre(high, size[0])];
  const [dLow, dHigh] = [signedDistance(low, size, spacing), signedDistance(high, size, spacing)];
  return Array.from({ length: count }, (_, n) => {
    const t = (n + 1) / (count + 1);
    const shift = [0, 1].map((axis) => (to[axis] - from[axis]) * t);
    const rest = [0, 1].map((axis) => (to[axis] - from[axis]) * (t - 1));
    return mixed(sampler(dLow, size, shift), sampler(dHigh, size, rest), size, t);
  });
}

/** Reads distances as if the slice were moved; places beyond the slice count as far outside. */
function sampler(distances, size, shift) {
  const [du, dv] = shift.map(Math.round);
  return (u, v) => {
    const [su, sv] = [u - du, v - dv];
    return su < 0 || sv < 0 || su >= size[0] || sv >= size[1] ? -FAR : distances[sv * size[0] + su];
  };
}

function mixed(low, high, size, t) {
  const mask = new Uint8Array(size[0] * size[1]);
  for (let v = 0; v < size[1]; v++) {
    for (let u = 0; u < size[0]; u++) mask[v * size[0] + u] = (1 - t) * low(u, v) + t * high(u, v) > 0 ? 1 : 0;
  }
  return mask;
}

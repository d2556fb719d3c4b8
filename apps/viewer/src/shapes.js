// Shapes in a slice. A point is [u, v] in voxels along the slice's axes, where voxel n reaches from n to n + 1.
// Every function calls `put(u, v)` for the voxels whose centres lie in the shape.

/** All voxels within `radius` mm of the line from `a` to `b`, and always the voxels of the two points. */
export function stroke(a, b, radius, spacing, size, put) {
  const [su, sv] = spacing;
  const [au, av, bu, bv] = [a[0] * su, a[1] * sv, b[0] * su, b[1] * sv];
  const length2 = (bu - au) ** 2 + (bv - av) ** 2;
  const [first, last] = bounds([a, b], [radius / su, radius / sv], size);
  for (let v = first[1]; v <= last[1]; v++) {
    for (let u = first[0]; u <= last[0]; u++) {
      const [pu, pv] = [(u + 0.5) * su, (v + 0.5) * sv];
      const t = length2 ? Math.min(1, Math.max(0, ((pu - au) * (bu - au) + (pv - av) * (bv - av)) / length2)) : 0;
      if ((pu - au - t * (bu - au)) ** 2 + (pv - av - t * (bv - av)) ** 2 <= radius ** 2) put(u, v);
    }
  }
  for (const point of [a, b]) {
    const [u, v] = point.map(Math.floor);
    if (u >= 0 && v >= 0 && u < size[0] && v < size[1]) put(u, v);
  }
}

/** All voxels inside a closed line, by the even-odd rule. */
export function polygon(points, size, put) {
  const [first, last] = bounds(points, [0, 0], size);
  for (let v = first[1]; v <= last[1]; v++) {
    const crossings = crossingsAt(points, v + 0.5);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(first[0], Math.ceil(crossings[i] - 0.5));
      const to = Math.min(last[0], Math.ceil(crossings[i + 1] - 0.5) - 1);
      for (let u = from; u <= to; u++) put(u, v);
    }
  }
}

/** Where the sides of a closed line cross a row, from left to right. */
function crossingsAt(points, row) {
  const crossings = [];
  points.forEach(([au, av], i) => {
    const [bu, bv] = points[(i + 1) % points.length];
    if (av <= row !== bv <= row) crossings.push(au + ((row - av) / (bv - av)) * (bu - au));
  });
  return crossings.sort((left, right) => left - right);
}

/** All voxels inside the ellipse that touches the sides of the box from `a` to `b`. */
export function ellipse(a, b, size, put) {
  const centre = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const half = [Math.abs(a[0] - b[0]) / 2, Math.abs(a[1] - b[1]) / 2];
  const [first, last] = bounds([a, b], [0, 0], size);
  for (let v = first[1]; v <= last[1]; v++) {
    for (let u = first[0]; u <= last[0]; u++) {
      if (((u + 0.5 - centre[0]) / half[0]) ** 2 + ((v + 0.5 - centre[1]) / half[1]) ** 2 <= 1) put(u, v);
    }
  }
}

/** First and last voxel of the box around points, with a margin, inside a slice. */
export function bounds(points, margin, size) {
  const us = points.map((point) => point[0]);
  const vs = points.map((point) => point[1]);
  const low = [Math.min(...us) - margin[0], Math.min(...vs) - margin[1]];
  const high = [Math.max(...us) + margin[0], Math.max(...vs) + margin[1]];
  return [
    low.map((edge) => Math.max(0, Math.floor(edge))),
    high.map((edge, axis) => Math.min(size[axis] - 1, Math.floor(edge))),
  ];
}

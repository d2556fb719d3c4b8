// Planes and grids. Inside the viewer a voxel is [x, y, z] of a grid whose axes point right, anterior, superior (RAS),
// whatever order the file has; `Grid` knows the way to the file's own order and to the original grid.

export const PLANES = ['axial', 'coronal', 'sagittal'];

/** Of each plane the axes to the patient's right or front (u), up in the picture (v), and across (w). */
export const AXES = {
  axial: { u: 0, v: 1, w: 2 },
  coronal: { u: 0, v: 2, w: 1 },
  sagittal: { u: 1, v: 2, w: 0 },
};

const PAIRS = ['RL', 'AP', 'SI'];

export class Grid {
  /**
   * @param {number[]} dims voxels along right, anterior, superior
   * @param {number[]} perm for each of these axes the file's axis, 1 to 3, negative if it points the other way
   * @param {number[]} factor voxels of the original grid along a side of one voxel, by the file's axes
   * @param {number[]} original shape of the original grid, by the file's axes; its last blocks may not be full
   */
  constructor(dims, perm, factor = [1, 1, 1], original = null) {
    Object.assign(this, { dims, perm, factor });
    this.size = dims[0] * dims[1] * dims[2];
    this.original = original ?? this.toShape().map((n, axis) => n * factor[axis]);
  }

  /** The grid of an array whose axes point to the three letters of `codes`, such as LPS. */
  static ofCodes(shape, codes) {
    const perm = PAIRS.map((pair) => {
      const axis = [...codes].findIndex((letter) => pair.includes(letter));
      return codes[axis] === pair[0] ? axis + 1 : -(axis + 1);
    });
    return new Grid(perm.map((p) => shape[Math.abs(p) - 1]), perm);
  }

  index(voxel) {
    return voxel[0] + this.dims[0] * (voxel[1] + this.dims[1] * voxel[2]);
  }

  inside(voxel) {
    return voxel.every((v, axis) => v >= 0 && v < this.dims[axis]);
  }

  /** The nearest voxel that is inside. */
  clamp(voxel) {
    return voxel.map((v, axis) => Math.min(this.dims[axis] - 1, Math.max(0, Math.round(v))));
  }

  /** The voxel by the file's axes. */
  toFile(voxel) {
    const file = [0, 0, 0];
    this.perm.forEach((p, axis) => {
      file[Math.abs(p) - 1] = p > 0 ? voxel[axis] : this.dims[axis] - 1 - voxel[axis];
    });
    return file;
  }

  /** The voxel of the original grid at the centre of this one. */
  toOriginal(voxel) {
    const middle = this.toFile(voxel).map((v, axis) => Math.floor((v + 0.5) * this.factor[axis]));
    return middle.map((v, axis) => Math.min(v, this.original[axis] - 1));
  }

  /** The voxel in which a voxel of the original grid lies. */
  fromOriginal(original) {
    const file = original.map((v, axis) => Math.floor(v / this.factor[axis]));
    return this.fromFile(file);
  }

  /** The voxel that the file has at these indices, or the nearest. */
  fromFile(file) {
    return this.clamp(this.perm.map((p, axis) => {
      const v = file[Math.abs(p) - 1];
      return p > 0 ? v : this.dims[axis] - 1 - v;
    }));
  }

  /** Steps in the file, in voxels, along x, y, z, and where voxel [0, 0, 0] lies. */
  fileSteps() {
    const shape = this.toShape();
    const strides = [1, shape[0], shape[0] * shape[1]];
    let start = 0;
    const steps = this.perm.map((p, axis) => {
      const stride = strides[Math.abs(p) - 1];
      if (p > 0) return stride;
      start += stride * (this.dims[axis] - 1);
      return -stride;
    });
    return { start, steps };
  }

  /** Shape by the file's axes. */
  toShape() {
    const shape = [0, 0, 0];
    this.perm.forEach((p, axis) => {
      shape[Math.abs(p) - 1] = this.dims[axis];
    });
    return shape;
  }
}

/**
 * Slices of the original grid as the server counts them: axial ones from the feet, coronal ones from the front, sagittal
 * ones from the right.
 */
export class Counting {
  constructor(scene) {
    this.grid = Grid.ofCodes(scene.shape, scene.orientation.toUpperCase());
  }

  /** Number of the slice of a plane on which a voxel of the original grid lies. */
  indexOf(plane, original) {
    const across = AXES[plane].w;
    const place = this.grid.fromFile(original)[across];
    return plane === 'axial' ? place : this.grid.dims[across] - 1 - place;
  }

  /** How many slices a plane has. */
  count(plane) {
    return this.grid.dims[AXES[plane].w];
  }

  /** A voxel of the original grid, moved to a slice. */
  moved(original, plane, index) {
    const across = AXES[plane].w;
    const voxel = this.grid.fromFile(original);
    voxel[across] = plane === 'axial' ? index : this.grid.dims[across] - 1 - index;
    return this.grid.toFile(this.grid.clamp(voxel));
  }
}

/** Planes in which a slice is more than a line; the axial one for a picture. */
export function usefulPlanes(dims) {
  const several = PLANES.filter((plane) => dims[AXES[plane].u] > 1 && dims[AXES[plane].v] > 1);
  return several.length ? several : ['axial'];
}

/** A point in the patient as letters and distances, such as `R 12.3 A 4.0 I 33.1 mm`. */
export function positionText(mm) {
  const parts = PAIRS.map((pair, axis) => `${pair[mm[axis] < 0 ? 1 : 0]} ${Math.abs(mm[axis]).toFixed(1)}`);
  return `${parts.join('  ')} mm`;
}

// Undo and redo. A step holds only the voxels that changed, as runs, so twenty steps of a large study cost little.

const MOST_STEPS = 200;
const LEAST_STEPS = 20;
const MOST_BYTES = 128 * 2 ** 20;
const RUN_BYTES = 10;

/** One change of a drawing while it is being made. Each voxel is put at most once to a new value. */
export class Edit {
  constructor(name, bitmap) {
    this.name = name;
    this.bitmap = bitmap;
    this.count = 0;
    this.changes = new Float64Array(1024); // index, value before, value after in one number, to be sorted fast
  }

  /** Give a voxel another value; nothing happens if it has it. */
  put(index, value) {
    const before = this.bitmap[index];
    if (before === value) return;
    if (this.count === this.changes.length) {
      const larger = new Float64Array(this.count * 2);
      larger.set(this.changes);
      this.changes = larger;
    }
    this.changes[this.count++] = index * 65536 + before * 256 + value;
    this.bitmap[index] = value;
  }
}

/** Runs of voxels that had one value and got one other. */
function runsOf(edit) {
  const sorted = edit.changes.subarray(0, edit.count).sort();
  const starts = new Uint32Array(edit.count);
  const lengths = new Uint32Array(edit.count);
  const values = new Uint16Array(edit.count);
  let runs = 0;
  for (const change of sorted) {
    const index = Math.floor(change / 65536);
    const pair = change % 65536;
    if (runs && values[runs - 1] === pair && starts[runs - 1] + lengths[runs - 1] === index) {
      lengths[runs - 1]++;
    } else {
      starts[runs] = index;
      lengths[runs] = 1;
      values[runs++] = pair;
    }
  }
  return { starts: starts.slice(0, runs), lengths: lengths.slice(0, runs), values: values.slice(0, runs) };
}

export class History {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  /** Keep an edit as a step. Returns whether it changed anything. */
  add(edit, box) {
    if (!edit.count) return false;
    this.done.push({ name: edit.name, box, ...runsOf(edit) });
    this.undone = [];
    this.trim();
    return true;
  }

  /** Forget the oldest steps beyond the limits. */
  trim() {
    const bytes = () => this.done.reduce((sum, step) => sum + step.starts.length * RUN_BYTES, 0);
    while (this.done.length > MOST_STEPS || (this.done.length > LEAST_STEPS && bytes() > MOST_BYTES)) this.done.shift();
  }

  /** Take the last step back in the bitmap. Returns the step, or undefined if there is none. */
  undo(bitmap) {
    const step = this.done.pop();
    if (step) {
      this.undone.push(step);
      step.starts.forEach((start, i) => bitmap.fill(step.values[i] >> 8, start, start + step.lengths[i]));
    }
    return step;
  }

  /** Make the step that was taken back last again. Returns the step, or undefined if there is none. */
  redo(bitmap) {
    const step = this.undone.pop();
    if (step) {
      this.done.push(step);
      step.starts.forEach((start, i) => bitmap.fill(step.values[i] & 255, start, start + step.lengths[i]));
    }
    return step;
  }
}

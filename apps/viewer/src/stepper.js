// Going through the slices of a plane, by hand or by itself.

import { AXES } from './planes.js';

const CINE_MS = 80;

export class Stepper {
  constructor(viewer) {
    this.viewer = viewer;
    this.timer = 0;
  }

  /** Go on by so many slices; infinite steps end at the first or the last. */
  step(count) {
    const { stage, activePlane } = this.viewer;
    const across = AXES[activePlane].w;
    const next = [...stage.voxel];
    next[across] = Math.min(stage.grid.dims[across] - 1, Math.max(0, next[across] + count));
    stage.voxel = next;
    this.viewer.moved();
  }

  get isPlaying() {
    return this.timer !== 0;
  }

  toggleCine() {
    if (this.isPlaying) this.stopCine();
    else this.timer = setInterval(() => this.play(), CINE_MS);
  }

  stopCine() {
    clearInterval(this.timer);
    this.timer = 0;
  }

  play() {
    const { stage, activePlane } = this.viewer;
    const across = AXES[activePlane].w;
    this.step(stage.voxel[across] + 1 < stage.grid.dims[across] ? 1 : -Infinity);
  }
}

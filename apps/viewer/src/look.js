// How things are shown: layout, style and strength of the structures, which of them are hidden.

import { read, remember } from './preferences.js';

const FAINTEST = 0.05;

export class Look {
  constructor(viewer) {
    this.viewer = viewer;
    Object.assign(this, { layout: 'grid', style: 'fill', opacity: 0.5, crosshair: true }, read());
    this.isHiding = false; // all structures, while a key is held
    this.hidden = new Set();
  }

  set(change) {
    Object.assign(this, change);
    if ('crosshair' in change) this.viewer.stage.setCrosshair(change.crosshair);
    if (!('isHiding' in change)) remember(this);
    this.show();
  }

  nextStyle() {
    this.set({ style: this.style === 'fill' ? 'outline' : 'fill' });
  }

  addOpacity(by) {
    this.set({ opacity: Math.min(1, Math.max(FAINTEST, Math.round((this.opacity + by) * 20) / 20)) });
  }

  /** Hide structures, or show them. */
  hide(values, isHidden) {
    values.forEach((value) => (isHidden ? this.hidden.add(value) : this.hidden.delete(value)));
    this.show();
  }

  /** Hide a structure or show it; or show it alone. */
  toggle(value, alone) {
    if (alone) {
      this.hide(this.viewer.scene.structures.map((structure) => structure.value), true);
      this.hide([value], false);
    } else this.hide([value], !this.hidden.has(value));
  }

  /** Bring the structures on the stage to this look. */
  show() {
    const { style, opacity, isHiding, hidden, viewer } = this;
    viewer.stage?.setLabels(viewer.scene.structures, { style, opacity, isHiding, isHidden: (value) => hidden.has(value) });
    viewer.refresh();
  }
}

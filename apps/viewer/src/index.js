// The entry: a page asks to mount a viewer, and asks again at each of its runs.

import { Viewer } from './viewer.js';

const KEEP_MS = 300_000;
const TRIGGERS = new Set(['saved', 'clicked']);
const entries = new Map(); // by the key that the page gave

/** A viewer, and the component through which it speaks to the page; none while it is off the page. */
class Entry {
  constructor(data) {
    this.told = new Map();
    this.untold = []; // triggers that came while it was off the page
    this.component = null;
    this.viewer = new Viewer(data.scene, data.height, (name, value) => this.tell(name, value));
  }

  /** Tell the page a value, if it is another one than before; a trigger as often as it happens. */
  tell(name, value) {
    const isTrigger = TRIGGERS.has(name);
    const text = JSON.stringify(value);
    if (!isTrigger && this.told.get(name) === text) return;
    if (!isTrigger) this.told.set(name, text);
    if (!this.component) {
      if (isTrigger) this.untold.push([name, value]);
    } else if (isTrigger) this.component.setTriggerValue(name, value);
    else this.component.setStateValue(name, value);
  }

  /** Be on a page; one that was left forgot what it was told. */
  enter(component) {
    clearTimeout(this.leaving);
    const isBack = this.hasLeft;
    this.hasLeft = false;
    this.component = component;
    if (!isBack) return;
    for (const [name, text] of this.told) component.setStateValue(name, JSON.parse(text));
    this.untold.splice(0).forEach(([name, value]) => component.setTriggerValue(name, value));
  }

  /**
   * Be off the page. What was drawn stays, since the server's file of the labels does not hold it; a viewer in which
   * nothing was drawn is closed after a while.
   */
  leave(component, onClose) {
    if (this.component !== component) return; // a later run has mounted it again
    this.component = null;
    this.hasLeft = true;
    this.viewer.pause();
    this.leaving = setTimeout(() => {
      if (this.viewer.post?.version) return;
      this.viewer.close();
      onClose();
    }, KEEP_MS);
  }
}

/**
 * Show a scene, in a new viewer or in the one that is there.
 *
 * @param {{parentElement: Node, data: object, setStateValue: Function, setTriggerValue: Function}} component
 *   as Streamlit gives it
 * @returns {() => void} to be called when the component leaves the page
 */
export function mount(component) {
  const { data, parentElement } = component;
  const isNew = !entries.has(data.key);
  if (isNew) entries.set(data.key, new Entry(data));
  const entry = entries.get(data.key);
  const { root } = entry.viewer.frame;
  if (root.parentNode !== parentElement) parentElement.append(root);
  root.style.height = `${data.height}px`;
  if (data.scene.test) window.__medseg_viewer = entry.viewer;
  entry.enter(component);
  if (isNew) entry.viewer.open();
  else entry.viewer.update(data.scene);
  return () => entry.leave(component, () => entries.delete(data.key));
}

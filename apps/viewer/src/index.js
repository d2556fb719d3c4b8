// The entry: a page asks to mount a viewer, and asks again at each of its runs.

import { Viewer } from './viewer.js';

const KEEP_MS = 10_000; // a page that builds itself anew mounts again within this time
const TRIGGERS = new Set(['saved', 'clicked']);
const viewers = new Map(); // by the key that the page gave

/**
 * Show a scene, in a new viewer or in the one that is there.
 *
 * @param {{parentElement: Node, data: object, setStateValue: Function, setTriggerValue: Function}} component
 *   as Streamlit gives it
 * @returns {() => void} to be called when the component leaves the page
 */
export function mount(component) {
  const { data, parentElement } = component;
  let entry = viewers.get(data.key);
  if (!entry) {
    entry = { told: new Map() };
    viewers.set(data.key, entry);
    entry.viewer = new Viewer(data.scene, data.height, (name, value) => tell(entry, name, value));
    entry.component = component;
    entry.viewer.open().catch((error) => entry.viewer.fail(error));
  } else {
    entry.component = component;
    entry.viewer.frame.root.style.height = `${data.height}px`;
    entry.viewer.update(data.scene);
  }
  clearTimeout(entry.leaving);
  const { root } = entry.viewer.frame;
  if (root.parentNode !== parentElement) parentElement.append(root);
  if (data.scene.test) window.__medseg_viewer = entry.viewer;
  return () => leave(data.key, entry, component);
}

/** Tell the page a value, once; a trigger as often as it happens. */
function tell(entry, name, value) {
  const text = JSON.stringify(value);
  if (TRIGGERS.has(name)) entry.component.setTriggerValue(name, value);
  else if (entry.told.get(name) !== text) {
    entry.told.set(name, text);
    entry.component.setStateValue(name, value);
  }
}

/** The component left: close the viewer, unless it comes back soon with its strokes. */
function leave(key, entry, component) {
  if (entry.component !== component) return; // a later run has mounted it again
  entry.viewer.post?.flush();
  entry.leaving = setTimeout(() => {
    entry.viewer.close();
    if (viewers.get(key) === entry) viewers.delete(key);
  }, KEEP_MS);
}

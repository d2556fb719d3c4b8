// Fetches what a scene names, in the right order, and forgets what was asked for a scene that is no longer shown.

import { Drawing } from './drawing.js';
import { fetchBytes } from './net.js';

const LABEL_SHARE = 0.1; // of the progress bar

export class Loader {
  constructor(viewer) {
    this.viewer = viewer;
    this.shown = new Map(); // overlays by name: their key
    this.off = new Set(); // overlays that the reader switched off
    this.work = new AbortController();
  }

  stop() {
    this.work.abort();
  }

  /** Image, labels and overlays of the scene, and the first look at them. A drawing that is given is kept. */
  async loadAll(drawing = null) {
    this.stop();
    this.isLoading = true;
    this.work = new AbortController();
    const { signal } = this.work;
    const { viewer } = this;
    const { scene, stage, frame } = viewer;
    this.shown.clear();
    this.off.clear();
    this.showTexts();
    const [image, labels] = await Promise.all([
      fetchBytes(scene.image_url, (share) => frame.showProgress(share && share * (1 - LABEL_SHARE)), signal),
      drawing ?? fetchBytes(scene.labels_url, () => {}, signal),
    ]);
    if (signal.aborted) return;
    await stage.showImage(image, scene);
    if (signal.aborted) return;
    if (drawing) stage.showDrawing(drawing);
    else this.takeLabels(labels);
    viewer.arrange();
    this.ready();
    await this.showOverlays();
  }

  /** Names, volumes and notices of the scene. */
  showTexts() {
    const { scene, frame, look } = this.viewer;
    const structures = scene.structures.map(({ value }) => value);
    look.hidden = new Set(scene.structures.filter(({ visible }) => !visible).map(({ value }) => value));
    if (!structures.includes(this.viewer.selected)) this.viewer.selected = structures[0] ?? null;
    frame.stage.setAttribute('aria-label', `Slices of ${scene.case}; the question mark lists the keys`);
    frame.notice.textContent = scene.notice;
    frame.panel.showStructures(scene.structures);
  }

  /** Other outlines of the same image. */
  async loadLabels() {
    const { viewer } = this;
    const { labels_id: wanted, labels_url: url } = viewer.scene;
    try {
      const labels = await fetchBytes(url, () => {}, this.work.signal);
      if (viewer.scene.labels_id !== wanted) return; // others were asked for meanwhile
      this.takeLabels(labels);
      viewer.look.show();
    } catch (error) {
      if (error.name !== 'AbortError') viewer.say(sentence(error));
    }
  }

  takeLabels(labels) {
    const { stage, editing } = this.viewer;
    const tool = editing.tool.name;
    editing.leave();
    try {
      const drawing = Drawing.read(labels, stage.grid);
      stage.showDrawing(drawing);
      editing.take(drawing);
      if (tool !== 'move') editing.setTool(tool); // other outlines of the same case: the hand keeps its tool
    } catch (error) {
      this.viewer.say(sentence(error));
    }
  }

  ready() {
    const { viewer } = this;
    this.isLoading = false;
    viewer.frame.hideFirst();
    viewer.moved();
    this.ms ??= Math.round(performance.now() - viewer.born);
    viewer.tell('ready', { ms: this.ms, webgl2: viewer.hasGl });
  }

  /** Bring the overlays on the stage to those of the scene. */
  async showOverlays() {
    const { viewer } = this;
    if (!viewer.hasGl || !viewer.stage.image) return;
    const wanted = new Map(viewer.scene.overlays.map((overlay) => [overlay.name, overlay]));
    for (const name of this.shown.keys()) {
      if (keyOf(wanted.get(name)) !== this.shown.get(name)) {
        viewer.stage.removeOverlay(name);
        this.shown.delete(name);
      }
    }
    const names = [...wanted.values()].map(keyOf).join();
    if (names !== this.listed) viewer.frame.panel.showOverlays(viewer.scene.overlays);
    this.listed = names;
    const added = viewer.scene.overlays.filter(({ name }) => !this.shown.has(name));
    added.forEach((overlay) => this.shown.set(overlay.name, keyOf(overlay)));
    const { signal } = this.work;
    const buffers = added.map((overlay) => fetchBytes(overlay.url, () => {}, signal));
    for (const [n, overlay] of added.entries()) await this.addOverlay(overlay, buffers[n]); // the last one is on top
  }

  async addOverlay(overlay, buffer) {
    const { stage } = this.viewer;
    try {
      const bytes = await buffer;
      if (this.shown.get(overlay.name) === keyOf(overlay)) await stage.addOverlay(overlay, bytes);
    } catch (error) {
      this.shown.delete(overlay.name);
      if (error.name !== 'AbortError') this.viewer.say(`${overlay.name}: ${sentence(error)}`);
    }
  }

  /** Switch an overlay on or off. */
  setOverlay(name, isShown) {
    const overlay = this.viewer.scene.overlays.find((one) => one.name === name);
    if (isShown) this.off.delete(name);
    else this.off.add(name);
    this.viewer.stage.setOverlayOpacity(name, isShown ? overlay.opacity : 0);
  }
}

function keyOf(overlay) {
  return overlay && JSON.stringify([overlay.name, overlay.version, overlay.colours]);
}

/** An error as a sentence that begins with a capital letter. */
export function sentence(error) {
  const words = error.message || 'something went wrong';
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

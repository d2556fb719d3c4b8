// The drawing of a viewer, the tool in hand, and what goes to the server.

import { sentence } from './loader.js';
import { MaskPost } from './mask_post.js';
import { fetchBytes } from './net.js';
import { AXES } from './planes.js';
import { Slice, fillBetween, fillEllipse, fillPolygon, growFrom, revert } from './tools.js';

export class Editing {
  constructor(viewer) {
    this.viewer = viewer;
    this.drawing = null;
    this.post = null;
    this.tool = { name: 'move', size: 9, tolerance: 30, protects: false };
    this.savedVersion = 0;
    this.isSaving = false;
    this.parted = new Set(); // posts of drawings that were left, until the server has them
  }

  get posts() {
    return [this.post, ...this.parted].filter(Boolean);
  }

  /** Whether there are strokes that the server lacks, also of drawings that were left. */
  get hasUnsent() {
    return this.posts.some((post) => post.isPending || post.isSending);
  }

  /** Whether there are strokes that are in no version. */
  get hasUnsaved() {
    return Boolean(this.post) && (this.isDraft || this.post.version !== this.savedVersion);
  }

  /** Begin with a drawing that was just loaded. */
  take(drawing) {
    const { scene } = this.viewer;
    this.drawing = drawing;
    this.labelsId = scene.labels_id;
    this.savedVersion = 0;
    this.isSaving = false;
    this.isDraft = scene.draft;
    this.follow(scene);
    this.told();
  }

  /** Take the address of a scene for drawings; it may have none for a while, or one for outlines that are not here yet. */
  follow(scene) {
    const { drawing } = this;
    if (!drawing || !this.isOnScreen(scene.labels_id)) return;
    this.labelsId = scene.labels_id;
    if (!scene.mask_url) return;
    if (this.post) this.post.moveTo(scene.mask_url, scene.sequence);
    else {
      const onChange = () => this.drawing === drawing && this.told();
      const { case: name, mask_url: url, sequence } = scene;
      this.post = new MaskPost({ parts: () => drawing.fileParts(), name, url, sequence, onChange });
    }
  }

  /** Whether labels are those that the drawing began with, or what the server has of it, by the digest in their name. */
  isOnScreen(labelsId) {
    return labelsId === this.labelsId || (Boolean(this.post?.receipt) && labelsId.includes(this.post.receipt.sha256));
  }

  /** Part with the drawing; what the server lacks of it is still sent. */
  leave() {
    const { post } = this;
    this.setTool('move');
    this.drawing = null;
    this.post = null;
    this.labelsId = null;
    this.isSaving = false;
    if (post?.isPending) this.partFrom(post);
    else post?.close();
  }

  /** Send what the server lacks of a drawing that was left; what it refuses is told. */
  async partFrom(post) {
    this.parted.add(post);
    post.onChange = () => this.sayTrouble();
    const why = await post.stores().then(() => '', (error) => error.why);
    post.close();
    this.parted.delete(post);
    this.sayTrouble();
    if (why) this.viewer.say(`Your last strokes on ${post.name} are not stored: ${why}.`);
  }

  told() {
    this.viewer.tell('changed', this.hasUnsaved);
    this.sayTrouble();
    this.viewer.refresh();
  }

  sayTrouble() {
    const trouble = this.posts.find((post) => post.trouble)?.trouble;
    this.viewer.frame.sayUnsent(trouble ? sentence({ message: trouble }) : '');
  }

  /** Something was drawn. */
  changed(box) {
    this.viewer.say('');
    this.viewer.stage.refresh(box);
    this.post.changed();
  }

  setTool(name, change = {}) {
    this.viewer.pointer?.cancel();
    Object.assign(this.tool, { name }, change);
    this.viewer.stage?.setMeasuring(name === 'measure');
    this.viewer.refresh();
  }

  pen(erases) {
    return { value: this.viewer.selected, erases: erases || this.tool.name === 'erase', protects: this.tool.protects };
  }

  /** The slice of a view at a number along its axis; by default where the crosshair stands. */
  slice(view, number = this.viewer.stage.voxel[AXES[view].w]) {
    const { grid, spacing } = this.viewer.stage;
    return new Slice(grid, spacing, view, number);
  }

  /** Radius of the brush in mm: its diameter counts the smaller voxel sides of the slice. */
  radius(slice) {
    return (this.tool.size * Math.min(...slice.spacing)) / 2;
  }

  polygon(slice, points, erases) {
    if (fillPolygon(this.drawing, slice, this.pen(erases), points)) this.changed(slice.box());
  }

  ellipse(slice, a, b, erases) {
    if (fillEllipse(this.drawing, slice, this.pen(erases), a, b)) this.changed(slice.box());
  }

  grow(slice, point, is3D, erases) {
    const how = { tolerance: this.tool.tolerance, is3D };
    const region = growFrom(this.drawing, slice, this.pen(erases), point, this.viewer.stage.valueAt, how);
    if (region.changed) this.changed(region.box);
    if (region.isCut) this.viewer.say('The region is very large and was cut off; undo it and choose a smaller range.');
  }

  fillBetween() {
    const { viewer } = this;
    const view = viewer.activePlane;
    const done = fillBetween(this.drawing, this.slice(view), viewer.stage.spacing, this.pen(false));
    if (done?.changed) this.changed(this.drawing.whole);
    if (!done) {
      viewer.say(`Draw the structure on two ${view} slices, go to one between them, and try again.`);
    }
  }

  turn(way) {
    const step = this.drawing.history[way](this.drawing.bitmap);
    if (!step) return;
    this.changed(step.box);
    this.viewer.frame.speak(`${way === 'undo' ? 'Undone' : 'Done again'}: ${step.name}`);
  }

  async revert() {
    const { drawing } = this;
    const { scene, selected } = this.viewer;
    try {
      const original = await fetchBytes(scene.original_url || scene.labels_url, () => {}, new AbortController().signal);
      if (drawing !== this.drawing) return;
      if (revert(drawing, drawing.labelsOf(original), selected)) this.changed(drawing.whole);
    } catch (error) {
      this.viewer.say(sentence(error));
    }
  }

  /** Send the drawing if the server lacks it, then tell the page to make a version of it. */
  async save() {
    const { post } = this;
    this.isSaving = true;
    this.viewer.refresh();
    const version = post.version;
    const receipt = await post.stores().catch(() => null); // what was refused is told with the strokes
    if (post !== this.post) return;
    this.isSaving = false;
    this.viewer.refresh();
    if (!receipt) return;
    this.isDraft = false;
    this.savedVersion = version;
    this.told(); // first, because a run that is told of a save must not be cut short by another
    this.viewer.tell('saved', { sequence: receipt.sequence, sha256: receipt.sha256 });
  }
}

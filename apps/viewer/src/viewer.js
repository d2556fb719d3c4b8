// One viewer: what it shows, and everything that buttons, keys and the page can ask of it.

import { Editing } from './editing.js';
import { Frame } from './frame.js';
import { webglKind } from './gl_parts.js';
import { LAYOUTS } from './layout.js';
import { Look } from './look.js';
import { Loader, sentence } from './loader.js';
import { listenToKeys } from './keyboard.js';
import { heartOf } from './drawing.js';
import { Counting, positionText } from './planes.js';
import { Pointer } from './pointer.js';
import { remember } from './preferences.js';
import { Stepper } from './stepper.js';
import { GlStage } from './stage_gl.js';
import { ImageStage } from './stage_images.js';

const LOCATION_MS = 300;
const NO_WEBGL = 'This browser cannot draw volumes (no WebGL2): slices come from the server, and drawing is off.';
const LOST = 'The graphics card gave up: slices come from the server now, and drawing is off. Your strokes are kept.';

export class Viewer {
  constructor(scene, height, tell) {
    this.born = performance.now();
    this.scene = scene;
    this.tell = tell;
    this.look = new Look(this);
    this.window = scene.window;
    this.selected = null;
    this.activeView = 'axial';
    this.webgl = webglKind();
    this.has3D = false;
    this.editing = new Editing(this);
    this.frame = new Frame(this);
    this.frame.root.style.height = `${height}px`;
    this.loader = new Loader(this);
    this.pointer = new Pointer(this);
    this.stepper = new Stepper(this);
    listenToKeys(this);
    this.onUnload = (event) => this.editing.hasUnsent && event.preventDefault();
    window.addEventListener('beforeunload', this.onUnload);
  }

  // what others ask

  get hasGl() {
    return Boolean(this.stage?.canHaveTools);
  }

  get drawing() {
    return this.editing.drawing;
  }

  get post() {
    return this.editing.post;
  }

  get tool() {
    return this.editing.tool;
  }

  get canEdit() {
    return this.hasGl && Boolean(this.scene.mask_url && this.drawing);
  }

  get hasUnsaved() {
    return this.editing.hasUnsaved;
  }

  get isSaving() {
    return this.editing.isSaving;
  }

  canShow(layout) {
    if (!this.stage?.planes) return false;
    if (layout === 'render') return this.hasGl && this.stage.planes.length === 3;
    return layout === 'grid' || this.stage.planes.includes(layout);
  }

  // loading

  /** Put up the stage that this browser can have, and load the scene. */
  async open() {
    this.frame.showFirst(this.scene.first_slice_url);
    this.frame.bars.showPresets(this.scene.presets);
    this.loader.showTexts();
    this.refresh();
    if (!this.webgl.works) await this.fallBack(NO_WEBGL);
    else await this.drawHere();
  }

  /** Draw with the graphics card; where that fails, with pictures from the server. */
  async drawHere() {
    this.say('');
    try {
      await this.putUp(new GlStage(this.frame.host, this.calls(), this.webgl.isSlow));
      this.has3D = !this.webgl.isSlow;
    } catch {
      await this.fallBack(LOST);
      return;
    }
    await this.load(this.editing.isOnScreen(this.scene.labels_id) ? this.drawing : null);
  }

  /** Load the scene on the stage that is there. */
  async load(drawing = null) {
    try {
      await this.loader.loadAll(drawing);
      this.hasFailed = false;
    } catch (error) {
      if (!this.isClosed && error.name !== 'AbortError') this.fail(error);
    }
  }

  /** What cannot be shown is said in the viewer's own words. */
  fail(error) {
    this.hasFailed = true; // a scene with new addresses is tried again
    this.frame.progress.hidden = true;
    this.say(sentence(error));
  }

  calls() {
    return { onMove: () => this.moved(), onDraw: () => this.drawn(), onLost: () => this.fallBack(LOST) };
  }

  async putUp(stage) {
    this.stage?.close();
    this.stage = stage;
    await stage.start();
  }

  /** Go on with slices that the server draws. What was drawn is kept and sent. */
  async fallBack(words) {
    const voxel = this.hasGl && this.stage.grid ? this.stage.grid.toOriginal(this.stage.voxel) : null;
    this.pointer.cancel();
    this.post?.flush();
    this.has3D = false;
    await this.putUp(new ImageStage(this.frame.host, this.calls(), this.scene));
    this.arrange(voxel);
    this.say(words);
    if (words === LOST) this.frame.offer('Try again', () => this.drawHere());
    this.loader.ready();
  }

  /** Bring a stage with an image to the present look, at a voxel of the original grid or the scene's start. */
  arrange(original = null) {
    const { stage, scene } = this;
    if (!this.canShow(this.look.layout)) this.look.layout = 'grid';
    stage.setLayout(this.look.layout, this.has3D);
    stage.setWindow(this.window);
    stage.setCrosshair(this.look.crosshair);
    const middle = stage.grid.dims.map((n) => Math.floor(n / 2));
    const first = this.atStart(stage.grid.toOriginal(middle));
    stage.voxel = stage.grid.fromOriginal(original ?? first);
    if (!original) this.activeView = scene.start?.plane ?? 'axial';
    this.frame.showTiles(stage.tiles);
    this.look.show();
    this.refresh();
  }

  atStart(original) {
    const { start } = this.scene;
    return start ? this.counting.moved(original, start.plane, start.index) : original;
  }

  /** How the server counts the slices. */
  get counting() {
    return new Counting(this.scene);
  }

  /** Take a scene of a later run; only what is different is done. */
  update(scene) {
    const old = this.scene;
    this.scene = scene;
    const isOther = (names) => names.some((name) => JSON.stringify(old[name]) !== JSON.stringify(scene[name]));
    const isOtherImage = isOther(['case', 'image_id']) || (this.hasFailed && isOther(['image_url']));
    const isOtherDrawing = isOther(['labels_id']) && !this.editing.isOnScreen(scene.labels_id);
    if (isOtherImage || (isOtherDrawing && this.loader.isLoading)) return this.reopen();
    if (this.hasGl && isOtherDrawing) this.loader.loadLabels();
    else if (!this.hasGl) this.stage?.take(scene);
    if (isOther(['structures'])) this.frame.panel.showStructures(scene.structures);
    if (isOther(['structures'])) this.look.show();
    if (isOther(['presets'])) this.frame.bars.showPresets(scene.presets);
    this.editing.follow(scene);
    if (this.tool.name === 'point' && !scene.takes_clicks) this.setTool('move');
    this.loader.showOverlays();
    if (scene.jump && scene.jump.nonce !== old.jump?.nonce) this.jump(scene.jump.voxel);
    this.frame.notice.textContent = scene.notice;
    this.drawn();
    this.refresh();
    return undefined;
  }

  reopen() {
    this.window = this.scene.window;
    this.say('');
    this.frame.bars.showPresets(this.scene.presets);
    this.editing.leave();
    this.frame.showFirst(this.scene.first_slice_url);
    if (this.hasGl) return this.load();
    this.stage.show(this.scene);
    this.loader.showTexts();
    this.arrange();
    return this.loader.ready();
  }

  /** Be off the page for a while. */
  pause() {
    this.stepper.stopCine();
    this.pointer.cancel();
    clearTimeout(this.locating);
    this.post?.flush();
  }

  close() {
    this.isClosed = true;
    this.loader.stop();
    this.stepper.stopCine();
    this.editing.leave();
    window.removeEventListener('beforeunload', this.onUnload);
    this.stage?.close();
    this.frame.root.remove();
  }

  // what the reader does

  run(command) {
    if (!this.stage?.grid && command.id !== 'keys') return;
    if (command.can && !command.can(this)) return;
    if (command.edits && !this.canEdit) return;
    command.run(this);
    this.refresh();
  }

  setLayout(layout) {
    if (!this.canShow(layout)) return;
    this.look.layout = layout;
    remember(this.look);
    if (layout !== 'grid') this.activeView = layout;
    this.stage.setLayout(layout, this.has3D);
    this.frame.showTiles(this.stage.tiles);
    this.refresh();
  }

  nextLayout() {
    const shown = LAYOUTS.filter((layout) => this.canShow(layout));
    this.setLayout(shown[(shown.indexOf(this.look.layout) + 1) % shown.length]);
  }

  /** Choose a structure, go to its largest slice, and take its window if it names one. */
  choose(value) {
    const structure = this.scene.structures.find((one) => one.value === value);
    if (!structure || !this.stage?.grid) return;
    this.selected = value;
    const preset = this.scene.presets.find(({ name }) => name === structure.preset);
    if (preset) this.setWindow([preset.low, preset.high]);
    const heart = this.drawing && this.hasGl ? heartOf(this.drawing.bitmap, this.stage.grid.dims, value) : null;
    if (heart) this.stage.voxel = heart;
    else if (structure.largest !== null && !this.hasGl) {
      const here = this.stage.grid.toOriginal(this.stage.voxel);
      this.stage.voxel = this.stage.grid.fromOriginal(this.counting.moved(here, 'axial', structure.largest));
    }
    this.moved();
    this.refresh();
  }

  setWindow(window) {
    this.window = window;
    if (this.stage?.grid) this.stage.setWindow(window);
    this.refresh();
  }

  reset() {
    this.setWindow(this.scene.window);
    this.stage.resetView();
  }

  /** The plane that keys move through. */
  get activePlane() {
    return this.activeView === 'render' ? 'axial' : this.activeView;
  }

  step(count) {
    this.stepper.step(count);
  }

  toggleCine() {
    this.stepper.toggleCine();
  }

  get isPlaying() {
    return this.stepper.isPlaying;
  }

  jump(original) {
    if (!this.stage?.grid) return;
    this.stage.voxel = this.stage.grid.fromOriginal(original);
    this.moved();
  }

  toggleKeys() {
    const isShown = this.frame.toggleKeys();
    (isShown ? this.frame.keys.querySelector('button') : this.frame.stage).focus();
  }

  showOverlay(name, isShown) {
    this.loader.setOverlay(name, isShown);
  }

  setTool(name, change = {}) {
    this.editing.setTool(name, change);
  }

  addSize(by) {
    this.editing.setTool(this.tool.name, { size: Math.min(60, Math.max(1, this.tool.size + by)) });
  }

  undo() {
    this.editing.turn('undo');
  }

  redo() {
    this.editing.turn('redo');
  }

  revert() {
    return this.editing.revert();
  }

  fillBetween() {
    this.editing.fillBetween();
  }

  save() {
    return this.editing.save();
  }

  // what is told

  say(words) {
    this.frame.say(words);
    this.tell('error', words);
  }

  /** The crosshair stands elsewhere. */
  moved() {
    if (!this.stage?.grid || !this.frame.names) return;
    this.pointer.moved();
    this.frame.refreshTiles();
    this.showCursor(this.stage.voxel);
    const view = this.frame.names.get(this.activeView) ?? [...this.frame.names.values()][0];
    this.frame.speak(view.textContent);
    if (this.scene.reports_location) {
      clearTimeout(this.locating);
      this.locating = setTimeout(() => {
        if (!this.isClosed) this.tell('location', this.stage.grid.toOriginal(this.stage.voxel));
      }, LOCATION_MS);
    }
  }

  drawn() {
    this.pointer.showMarks();
  }

  /** Voxel, place, value and structure in the line below the stage. */
  showCursor(voxel) {
    const { stage, scene, drawing } = this;
    const parts = [`voxel ${stage.grid.toOriginal(voxel).join(' ')}`];
    const mm = stage.positionOf(voxel);
    if (mm) {
      const index = stage.grid.index(voxel);
      const value = drawing?.bitmap[index] ?? 0;
      const structure = scene.structures.find((one) => one.value === value);
      parts.push(positionText(mm), `${Number(stage.valueAt(index).toPrecision(5))} ${scene.unit}`.trim());
      parts.push(value ? `${value} ${structure?.name ?? 'without a name'}` : 'no structure');
    }
    this.frame.cursor.textContent = parts.join('   ');
  }

  refresh() {
    if (!this.frame?.bars.presets) return;
    this.frame.stage.dataset.tool = this.tool.name;
    this.frame.stage.dataset.layout = this.look.layout;
    this.frame.bars.refresh();
    this.frame.panel.refresh();
  }
}

// Mouse, pen and finger on the stage. What the tools and the window need is taken before NiiVue sees it.

import { svg } from './dom.js';
import { tileAt } from './layout.js';
import { AXES } from './planes.js';
import { BrushStroke } from './tools.js';

const DRAWS = ['paint', 'erase', 'polygon', 'ellipse', 'grow', 'point'];
const RIGHT = 2;
const WHEEL_STEP = 40; // CSS pixels of a wheel that count as one slice, for wheels that move by little
const NEAR = 10; // CSS pixels within which a click meets the first corner
const INSIDE = '#56b4e9';
const OUTSIDE = '#d55e00';

export class Pointer {
  constructor(viewer) {
    this.viewer = viewer;
    this.stage = viewer.frame.stage;
    this.shapes = viewer.frame.shapes;
    this.wheel = 0;
    this.held = null; // what goes on while a button is down: {move(event), end(event)}
    this.corners = null; // of a polygon that is being clicked: {view, slice, points, pixels, erases}
    this.brush = svg('circle', { class: 'brush', r: 0 });
    this.path = svg('path', { class: 'path' });
    this.marks = svg('g');
    this.shapes.append(this.brush, this.path, this.marks);
    const listen = (type, does, options) => this.stage.addEventListener(type, does.bind(this), options);
    listen('pointerdown', this.down, { capture: true });
    listen('pointermove', this.move, { capture: true });
    listen('pointerup', this.up, { capture: true });
    listen('pointercancel', this.up, { capture: true });
    listen('pointerleave', this.leave);
    listen('pointerenter', this.enter);
    listen('wheel', this.scroll, { passive: false, capture: true });
    listen('dblclick', this.double, { capture: true });
    listen('contextmenu', (event) => event.preventDefault());
    for (const type of ['touchstart', 'touchmove', 'touchend']) {
      listen(type, (event) => this.isDrawing && event.stopPropagation(), { capture: true });
    }
  }

  get isDrawing() {
    return this.viewer.canEdit && DRAWS.includes(this.viewer.tool.name);
  }

  /** The view under an event. */
  viewOf(event) {
    const box = this.stage.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return tileAt(this.viewer.stage?.tiles ?? [], x, y)?.view;
  }

  /** The place in a slice under an event; null beside the image. */
  placeOf(event, view = this.viewOf(event)) {
    return view ? this.viewer.stage.at(event.clientX, event.clientY, view) : null;
  }

  isInside(place) {
    const { dims } = this.viewer.stage.grid;
    const { u, v } = AXES[place.view];
    return place.point.every((p, n) => p >= 0 && p < dims[n ? v : u]);
  }

  pixelOf(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // events

  down(event) {
    if (event.target.closest('button, .keys')) return;
    this.stage.focus({ preventScroll: true });
    const view = this.viewOf(event);
    if (!view || !this.viewer.stage.grid) return;
    this.viewer.activeView = view;
    this.viewer.frame.refreshTiles();
    if (event.button === RIGHT) this.hold(event, this.windowing(event));
    else if (event.button === 0 && this.isDrawing && view !== 'render') {
      const place = this.placeOf(event, view);
      if (place) this.hold(event, this.begin(event, place));
    }
  }

  /** Keep the pointer until its button is up, and keep NiiVue out of it. */
  hold(event, held) {
    event.preventDefault();
    event.stopPropagation();
    this.held = held ?? { move() {}, end() {} };
    this.stage.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (this.held) {
      event.stopPropagation();
      const steps = event.getCoalescedEvents?.() ?? [];
      (steps.length ? steps : [event]).forEach((step) => this.held?.move(step));
    }
    this.hover(event);
  }

  up(event) {
    if (!this.held) return;
    event.stopPropagation();
    const { held } = this;
    this.held = null;
    held.end(event);
  }

  enter() {
    const isFree = document.activeElement === document.body || document.activeElement === null;
    if (isFree) this.stage.focus({ preventScroll: true });
  }

  leave() {
    this.brush.setAttribute('r', 0);
    this.viewer.post?.flush(); // what the reader does next on the page may need the strokes
    if (this.viewer.stage?.grid) this.viewer.showCursor(this.viewer.stage.voxel);
  }

  scroll(event) {
    if (event.target.closest('.keys') || !this.viewer.stage?.grid) return;
    event.preventDefault();
    event.stopPropagation();
    const view = this.viewOf(event) ?? this.viewer.activeView;
    if (event.ctrlKey || view === 'render') {
      this.viewer.stage.zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1, view);
      return;
    }
    this.viewer.activeView = view;
    this.viewer.step(-this.notches(event));
    this.hover(event);
  }

  /** Slices that a wheel event stands for: one a notch, however far a notch is said to be; a touchpad adds up. */
  notches(event) {
    const isNotch = event.deltaMode !== 0 || Math.abs(event.deltaY) >= WHEEL_STEP;
    if (isNotch) return Math.sign(event.deltaY);
    this.wheel += event.deltaY;
    const count = Math.trunc(this.wheel / WHEEL_STEP);
    this.wheel -= count * WHEEL_STEP;
    return count;
  }

  double(event) {
    event.stopPropagation();
    if (this.corners) this.closeCorners();
    else if (['move', 'measure'].includes(this.viewer.tool.name) && !event.target.closest('button, .keys')) {
      const view = this.viewOf(event);
      this.viewer.setLayout(this.viewer.look.layout === 'grid' && view ? view : 'grid');
    }
  }

  /** Whether a key belongs to what is under way. */
  takesKey(key) {
    if (!this.corners || !['enter', 'escape'].includes(key)) return false;
    if (key === 'enter') this.closeCorners();
    else this.cancel();
    return true;
  }

  /** Show what is under the pointer. */
  hover(event) {
    const place = this.viewer.hasGl && this.viewer.stage.grid ? this.placeOf(event) : null;
    this.showBrush(event, place);
    if (!place || !this.isInside(place)) return;
    const slice = this.viewer.editing.slice(place.view, place.slice);
    this.viewer.showCursor(slice.voxel(...place.point.map(Math.floor)));
  }

  showBrush(event, place) {
    const paints = this.isDrawing && ['paint', 'erase'].includes(this.viewer.tool.name);
    if (!place || !paints) {
      this.brush.setAttribute('r', 0);
      return;
    }
    const [x, y] = this.pixelOf(event);
    const radius = this.viewer.editing.radius(this.viewer.editing.slice(place.view, place.slice)) / place.mmPerPixel;
    Object.entries({ cx: x, cy: y, r: Math.max(1.5, radius) }).forEach(([name, n]) => this.brush.setAttribute(name, n));
  }

  // what goes on while a button is down

  begin(event, place) {
    const { tool, editing } = this.viewer;
    const slice = editing.slice(place.view, place.slice);
    const erases = event.ctrlKey || event.metaKey;
    if (tool.name === 'polygon') return this.polygon(event, place, slice, erases);
    if (tool.name === 'ellipse') return this.ellipse(event, place, slice, erases);
    if (!this.isInside(place) && !['paint', 'erase'].includes(tool.name)) return null;
    if (tool.name === 'grow') return void editing.grow(slice, place.point, event.shiftKey, erases);
    if (tool.name === 'point') {
      const voxel = this.viewer.stage.grid.toOriginal(slice.voxel(...place.point.map(Math.floor)));
      return void this.viewer.tell('clicked', { voxel, inside: !erases });
    }
    return this.stroke(place, slice, erases);
  }

  stroke(place, slice, erases) {
    const { editing, stage } = this.viewer;
    const brush = new BrushStroke(editing.drawing, slice, editing.pen(erases), editing.radius(slice));
    const go = (to) => to && stage.refresh(brush.to(to.point));
    go(place);
    return {
      move: (event) => go(this.placeOf(event, place.view)),
      end: () => brush.end() && editing.changed(slice.box()),
    };
  }

  ellipse(event, place, slice, erases) {
    const from = this.pixelOf(event);
    let to = place;
    return {
      move: (next) => {
        to = this.placeOf(next, place.view) ?? to;
        this.path.setAttribute('d', ellipsePath(from, this.pixelOf(next)));
      },
      end: () => {
        this.path.removeAttribute('d');
        this.viewer.editing.ellipse(slice, place.point, to.point, erases);
      },
    };
  }

  /** A drag draws around an area; clicks set corners until one meets the first. */
  polygon(event, place, slice, erases) {
    const pixel = this.pixelOf(event);
    const first = this.corners?.pixels[0];
    const isSame = this.corners?.view === place.view;
    if (first && isSame && Math.hypot(first[0] - pixel[0], first[1] - pixel[1]) < NEAR) return void this.closeCorners();
    this.corners = isSame ? this.corners : { view: place.view, slice, points: [], pixels: [], erases };
    const { points, pixels } = this.corners;
    const add = (next, where) => {
      points.push(where.point);
      pixels.push(this.pixelOf(next));
      this.path.setAttribute('d', `M${pixels.map((p) => p.join(' ')).join('L')}`);
    };
    add(event, place);
    const before = points.length;
    return {
      move: (next) => {
        const where = this.placeOf(next, place.view);
        if (where && this.corners) add(next, where);
      },
      end: () => before === 1 && pixels.some((p) => Math.hypot(p[0] - pixel[0], p[1] - pixel[1]) > NEAR) && this.closeCorners(),
    };
  }

  closeCorners() {
    const { corners } = this;
    this.cancel();
    if (corners.points.length > 2) this.viewer.editing.polygon(corners.slice, corners.points, corners.erases);
  }

  windowing(event) {
    const { viewer } = this;
    const [low, high] = viewer.window;
    const [x, y] = [event.clientX, event.clientY];
    const gain = Math.max(high - low, 1e-6) / 250; // the window's own width over 250 pixels
    return {
      move: (next) => {
        const width = Math.max((high - low) + (next.clientX - x) * gain * 2, (high - low) * 0.01);
        const level = (low + high) / 2 - (next.clientY - y) * gain;
        viewer.setWindow([level - width / 2, level + width / 2].map((edge) => Number(edge.toPrecision(4))));
      },
      end() {},
    };
  }

  /** Give up what is not finished. */
  cancel() {
    this.corners = null;
    this.path?.removeAttribute('d');
    this.brush?.setAttribute('r', 0);
  }

  /** The crosshair moved: corners on another slice are given up. */
  moved() {
    const { corners } = this;
    if (corners && this.viewer.stage.voxel[AXES[corners.view].w] !== corners.slice.slice) this.cancel();
  }

  /** Rings at the points that were clicked, in the views whose slice they are on. */
  showMarks() {
    const { stage, scene } = this.viewer;
    if (!this.viewer.hasGl || !stage.grid) return;
    const rings = scene.marks.flatMap(({ voxel, inside }) =>
      stage.pixelsOf(stage.grid.fromOriginal(voxel)).map(([cx, cy]) =>
        svg('circle', { class: 'mark', cx, cy, r: 6, stroke: inside ? INSIDE : OUTSIDE })));
    this.marks.replaceChildren(...rings);
  }
}

/** The ellipse in a box of pixels, as the outline of an SVG path. */
function ellipsePath([ax, ay], [bx, by]) {
  const [rx, ry] = [Math.abs(ax - bx) / 2, Math.abs(ay - by) / 2];
  const [left, right, middle] = [Math.min(ax, bx), Math.max(ax, bx), (ay + by) / 2];
  return `M${left} ${middle}A${rx} ${ry} 0 1 0 ${right} ${middle}A${rx} ${ry} 0 1 0 ${left} ${middle}Z`;
}

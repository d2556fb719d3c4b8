// The frame around the stage: toolbars, names of the views, status line, messages, list of keys.

import { COMMANDS, keyLabel } from './commands.js';
import { el, svg } from './dom.js';
import { LETTERS, VIEW_NAMES } from './layout.js';
import { Panel } from './panel.js';
import { AXES, positionText } from './planes.js';
import { Toolbars } from './toolbar.js';
import css from './style.css';

const MOUSE = [
  ['Wheel', 'One slice'],
  ['Ctrl + wheel', 'Enlarge; also in 3D'],
  ['Drag', 'Move the crosshair, or draw with the chosen tool'],
  ['Right drag', 'Window: to the side its width, up and down its level'],
  ['Shift + drag', 'Move the enlarged image'],
  ['Double click', 'One view alone, and back'],
  ['1 to 9', 'Choose a structure and go to its largest slice'],
];

export class Frame {
  constructor(viewer) {
    this.viewer = viewer;
    this.bars = new Toolbars(viewer);
    this.panel = new Panel(viewer);
    this.panel.node.prepend(this.bars.saving);
    this.first = el('img', { class: 'first', alt: '' });
    this.progress = el('progress', { 'aria-label': 'Loading', max: 1 });
    this.host = el('div', { class: 'host' });
    this.shapes = svg('svg', { class: 'shapes', 'aria-hidden': 'true' });
    this.tiles = el('div', { class: 'tiles' });
    this.keys = el('div', { class: 'keys', role: 'dialog', 'aria-label': 'List of keys', hidden: true });
    this.stage = el('div', { class: 'stage', tabindex: '0', role: 'application', 'aria-label': 'Slices of the case' },
      this.host, this.first, this.shapes, this.tiles,
      el('span', { class: 'convention', title: "The patient's right is on the picture's left" }, 'Radiological'),
      this.progress, this.keys);
    this.cursor = el('div', { class: 'cursor' }); // not read out at every move; `speak` tells where one stays
    this.spoken = el('div', { class: 'unseen', role: 'status', 'aria-live': 'polite' });
    this.notice = el('span', { class: 'notice' });
    this.alert = el('div', { class: 'alert', role: 'alert' });
    this.unsent = el('div', { class: 'alert', role: 'alert' });
    this.root = el('div', { class: 'viewer' },
      el('style', {}, css), this.bars.main, this.bars.editing, this.alert, this.unsent,
      el('div', { class: 'middle' }, this.stage, this.panel.node),
      el('div', { class: 'status' }, this.cursor, this.notice), this.spoken);
    this.root.addEventListener('click', (event) => this.returnFocus(event));
  }

  /** After a click with the mouse the keys belong to the stage again; who uses the keyboard stays on the button. */
  returnFocus(event) {
    if (event.detail && this.keys.hidden && event.target.closest('button, input')) this.stage.focus({ preventScroll: true });
  }

  /** Begin with the picture that the server drew. */
  showFirst(url) {
    this.first.src = url;
    this.first.hidden = false;
    this.showProgress(null);
  }

  showProgress(share) {
    this.progress.hidden = false;
    if (share === null) this.progress.removeAttribute('value');
    else this.progress.value = share;
  }

  hideFirst() {
    this.first.hidden = true;
    this.progress.hidden = true;
  }

  /** Names of the views, with slice and place, and the buttons that enlarge them. */
  showTiles(tiles) {
    this.names = new Map();
    const nodes = tiles.map(({ view, place }) => {
      const text = el('span', { class: 'tile-name' });
      this.names.set(view, text);
      const isAlone = tiles.length === 1;
      const title = isAlone ? 'All views' : `${VIEW_NAMES[view]} view alone`;
      const onclick = () => this.viewer.setLayout(isAlone ? 'grid' : view);
      const [left, top, width, height] = place.map((part) => `${part * 100}%`);
      const style = `left:${left};top:${top};width:${width};height:${height}`;
      const letters = this.viewer.hasGl ? [...LETTERS[view]] : []; // the server's pictures have theirs
      return el('div', { class: 'tile', style, 'data-view': view }, text,
        ...letters.map((letter, n) => el('span', { class: `letter edge-${n}`, 'aria-hidden': 'true' }, letter)),
        el('button', { type: 'button', class: 'enlarge', title, 'aria-label': title, onclick }, isAlone ? '⤡' : '⤢'));
    });
    this.tiles.replaceChildren(...nodes);
    this.refreshTiles();
  }

  refreshTiles() {
    const { stage, activeView, counting } = this.viewer;
    const original = stage.grid.toOriginal(stage.voxel);
    const mm = stage.positionOf(stage.voxel);
    for (const [view, node] of this.names ?? []) {
      node.replaceChildren(...(view === 'render' ? ['3D structures'] : sliceText(view, counting, original, mm)));
      node.parentElement.classList.toggle('active', view === activeView && this.names.size > 1);
    }
  }

  /** Say to a screen reader where one is, once one stays there. */
  speak(text) {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      this.spoken.textContent = text;
    }, 400);
  }

  /** Say what does not work, until something else is said. */
  say(trouble) {
    this.alert.textContent = trouble;
  }

  /** Say that drawings do not reach the server. */
  sayUnsent(trouble) {
    if (this.unsent.textContent !== trouble) this.unsent.textContent = trouble; // else it would be read out again
  }

  /** A way out, beside what was said. */
  offer(label, onclick) {
    this.alert.append(' ', el('button', { type: 'button', onclick }, label));
  }

  /** Show or hide the list of keys; returns whether it is shown now. */
  toggleKeys() {
    this.keys.hidden = !this.keys.hidden;
    if (this.keys.hidden) return false;
    const { viewer } = this;
    const commands = COMMANDS.filter((one) => one.key && (viewer.canEdit || !one.edits) && this.bars.isOffered(one));
    const own = commands.map((one) => [[one.key, one.otherKey].filter(Boolean).map(keyLabel).join(', '), one.title]);
    const windows = viewer.scene.presets.filter(({ key }) => key);
    const rows = [...MOUSE, ...own, ...windows.map(({ key, name }) => [keyLabel(key.toLowerCase()), `Window: ${name}`])];
    this.keys.replaceChildren(
      el('button', { type: 'button', class: 'close', onclick: () => viewer.toggleKeys() }, 'Close'),
      el('dl', {}, ...rows.map(([keys, title]) => el('div', {}, el('dt', {}, keys), el('dd', {}, title)))));
    return true;
  }
}

function sliceText(view, counting, original, mm) {
  const place = mm ? ` · ${positionText(mm).split('  ')[AXES[view].w].replace(' mm', '')} mm` : '';
  const number = `${VIEW_NAMES[view]} ${counting.indexOf(view, original) + 1}/${counting.count(view)}`;
  return [number, el('span', { class: 'mm' }, place)];
}

// The table of structures, and the legends of overlays.

import { el, rgb } from './dom.js';
import { HEAT_GRADIENT } from './gl_parts.js';

export class Panel {
  constructor(viewer) {
    this.viewer = viewer;
    this.rows = new Map();
    this.body = el('tbody');
    this.overlays = el('div', { class: 'overlays' });
    const all = (isHidden) => () => viewer.look.hide(viewer.scene.structures.map(({ value }) => value), isHidden);
    this.node = el('aside', { class: 'panel', 'aria-label': 'Structures' },
      el('table', {},
        el('caption', {}, 'Structures'),
        el('thead', { class: 'unseen' }, el('tr', {}, ...['Key', 'Structure', 'Volume', 'Shown'].map((name) =>
          el('th', { scope: 'col' }, name)))),
        this.body),
      el('div', { class: 'group all', role: 'group', 'aria-label': 'All structures' },
        el('button', { type: 'button', onclick: all(false) }, 'Show all'),
        el('button', { type: 'button', onclick: all(true) }, 'Hide all')),
      this.overlays);
  }

  /** Rows for the structures of a scene. */
  showStructures(structures) {
    this.rows.clear();
    structures.forEach((structure, n) => this.rows.set(structure.value, this.row(structure, n)));
    this.body.replaceChildren(...[...this.rows.values()].map(({ node }) => node));
    this.refresh();
  }

  row(structure, n) {
    const { viewer } = this;
    const key = n < 9 ? String(n + 1) : '';
    const choose = el('button', {
      type: 'button',
      class: 'name',
      title: `Choose, and go to its largest slice${key ? ` (${key})` : ''}`,
      'aria-keyshortcuts': key || undefined,
      onclick: () => viewer.choose(structure.value),
    }, el('span', { class: 'swatch', style: `background:${rgb(structure.colour)}` }), structure.name);
    const eye = el('button', {
      type: 'button',
      class: 'eye',
      title: 'Show or hide; with Shift show this one alone',
      'aria-label': `Show ${structure.name}`,
      onclick: (event) => viewer.look.toggle(structure.value, event.shiftKey),
    }, eyeIcon());
    const volume = structure.volume_ml === null ? '' : `${millilitres(structure.volume_ml)} mL`;
    const node = el('tr', {},
      el('td', { class: 'key' }, key),
      el('td', {}, choose),
      el('td', { class: 'volume' }, volume),
      el('td', {}, eye));
    return { node, choose, eye };
  }

  refresh() {
    for (const [value, { node, choose, eye }] of this.rows) {
      node.classList.toggle('chosen', value === this.viewer.selected);
      choose.setAttribute('aria-pressed', String(value === this.viewer.selected));
      eye.setAttribute('aria-pressed', String(!this.viewer.look.hidden.has(value)));
    }
  }

  /** A switch and a legend for each overlay. */
  showOverlays(overlays) {
    this.overlays.replaceChildren(...overlays.map((overlay) => this.overlay(overlay)));
  }

  overlay(overlay) {
    const onchange = (event) => this.viewer.showOverlay(overlay.name, event.target.checked);
    const legend = overlay.colours === 'heat' ? heatLegend(overlay.legend) : valueLegend(overlay.colours);
    return el('section', {},
      el('label', {}, el('input', { type: 'checkbox', checked: true, onchange }), overlay.name),
      legend);
  }
}

function heatLegend([low, high]) {
  return el('div', { class: 'heat' },
    el('div', { class: 'bar', style: `background:${HEAT_GRADIENT}` }),
    el('span', {}, low), el('span', {}, high));
}

function valueLegend(colours) {
  return el('ul', {}, ...colours.map(({ value, colour, name }) =>
    el('li', {}, el('span', { class: 'swatch', style: `background:${rgb(colour)}` }), `${value} ${name}`)));
}

function millilitres(volume) {
  return volume >= 100 ? volume.toFixed(0) : volume.toPrecision(3);
}

function eyeIcon() {
  const icon = document.createElement('span');
  icon.className = 'eye-icon';
  icon.setAttribute('aria-hidden', 'true');
  return icon;
}

// Toolbars of buttons made from the table of commands.

import { COMMANDS, keyLabel } from './commands.js';
import { el } from './dom.js';

const FIRST_ROW = ['Views', 'Labels', 'Look'];
const SECOND_ROW = ['Tools', 'Edit'];

export class Toolbars {
  constructor(viewer) {
    this.viewer = viewer;
    this.buttons = new Map();
    this.windows = el('div', { class: 'group', role: 'group', 'aria-label': 'Window' });
    this.opacity = slider('Opacity of the structures', 0.05, 1, 0.05, (value) => viewer.look.set({ opacity: value }));
    this.size = slider('Diameter of the brush', 1, 60, 1, (value) => viewer.setTool(viewer.tool.name, { size: value }));
    this.tolerance = slider('How much values may differ', 1, 300, 1, (value) =>
      viewer.setTool(viewer.tool.name, { tolerance: value }),
    );
    this.state = el('span', { class: 'state' });
    this.main = bar('Views and windows', [...FIRST_ROW.map((name) => this.group(name)), this.windows]);
    this.editing = bar('Drawing', [...SECOND_ROW.map((name) => this.group(name)), this.options()]);
    this.saving = this.savingGroup();
  }

  group(name) {
    const commands = COMMANDS.filter((command) => command.group === name);
    const group = el('div', { class: 'group', role: 'group', 'aria-label': name });
    group.append(...commands.map((command) => this.button(command)));
    if (name === 'Labels') group.append(this.opacity);
    return group;
  }

  isOffered(command) {
    return !command.isForClicks || this.viewer.scene.takes_clicks;
  }

  button(command) {
    const key = command.key ? ` (${keyLabel(command.key)})` : '';
    const button = el('button', {
      type: 'button',
      title: command.title + key,
      'data-command': command.id,
      'aria-keyshortcuts': command.key ? keyLabel(command.key) : undefined,
      'aria-pressed': command.isOn ? 'false' : undefined,
      onclick: () => this.viewer.run(command),
    }, command.label);
    this.buttons.set(command, button);
    return button;
  }

  options() {
    this.sizeLabel = el('label', { class: 'option' }, 'Size', this.size);
    this.toleranceLabel = el('label', { class: 'option' }, 'Range ±', this.tolerance);
    const protect = this.button(COMMANDS.find(({ id }) => id === 'protect'));
    const group = el('div', { class: 'group', role: 'group', 'aria-label': 'Options' });
    group.append(this.sizeLabel, this.toleranceLabel, protect);
    return group;
  }

  savingGroup() {
    const save = this.button(COMMANDS.find(({ id }) => id === 'save'));
    save.classList.add('main');
    return el('div', { class: 'group saving', role: 'group', 'aria-label': 'Save' }, this.state, save);
  }

  /** Buttons of the windows of a scene. */
  showPresets(presets) {
    this.presets = presets.map((preset) => {
      const key = preset.key ? ` (${keyLabel(preset.key)})` : '';
      const title = `Window from ${preset.low} to ${preset.high}${key}`;
      const onclick = () => this.viewer.setWindow([preset.low, preset.high]);
      return { preset, button: el('button', { type: 'button', title, 'aria-pressed': 'false', onclick }, preset.name) };
    });
    this.readout = el('span', { class: 'readout', title: 'Width and level; drag with the right button to change them' });
    this.windows.replaceChildren(...this.presets.map(({ button }) => button), this.readout);
  }

  /** Bring every button to the state of the viewer. */
  refresh() {
    const { viewer } = this;
    for (const [command, button] of this.buttons) {
      if (command.isOn) button.setAttribute('aria-pressed', String(Boolean(command.isOn(viewer))));
      button.disabled = command.can ? !command.can(viewer) : false;
      button.hidden = !this.isOffered(command);
    }
    const [low, high] = viewer.window;
    for (const { preset, button } of this.presets) {
      button.setAttribute('aria-pressed', String(preset.low === low && preset.high === high));
    }
    this.readout.textContent = `W ${number(high - low)} L ${number((high + low) / 2)}`;
    this.opacity.value = viewer.look.opacity;
    this.opacity.disabled = viewer.look.style === 'outline';
    this.size.value = viewer.tool.size;
    this.tolerance.value = viewer.tool.tolerance;
    this.sizeLabel.hidden = !['paint', 'erase'].includes(viewer.tool.name);
    this.toleranceLabel.hidden = viewer.tool.name !== 'grow';
    this.editing.hidden = !viewer.scene.mask_url || (viewer.stage && !viewer.hasGl);
    this.saving.hidden = this.editing.hidden;
    this.refreshState();
  }

  refreshState() {
    const { post, hasUnsaved, isSaving } = this.viewer;
    const words = [
      [isSaving, 'Saving…'],
      [post?.trouble, 'Not stored yet'],
      [post?.isPending || post?.isSending, 'Unsaved · keeping a draft…'],
      [hasUnsaved, 'Unsaved · draft kept'],
    ];
    const rest = this.viewer.editing.savedVersion ? 'Saved' : 'No changes';
    this.state.textContent = words.find(([holds]) => holds)?.[1] ?? rest;
    this.state.dataset.unsaved = String(Boolean(hasUnsaved));
  }
}

/** A toolbar is one stop of the tab key; arrows go through its buttons. */
function bar(name, groups) {
  const node = el('div', { class: 'toolbar', role: 'toolbar', 'aria-label': name }, ...groups);
  node.addEventListener('keydown', (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || !event.target.matches('button')) return;
    const stops = [...node.querySelectorAll('button:not(:disabled), input')].filter((stop) => stop.offsetParent);
    stops[(stops.indexOf(event.target) + by + stops.length) % stops.length].focus();
    event.preventDefault();
    event.stopPropagation();
  });
  return node;
}

function slider(name, min, max, step, onValue) {
  const oninput = (event) => onValue(Number(event.target.value));
  return el('input', { type: 'range', 'aria-label': name, title: name, min, max, step, oninput });
}

function number(value) {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

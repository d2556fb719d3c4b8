// Keys, while the viewer has the focus. What is handled here goes no further: Streamlit has keys of its own.

import { COMMANDS, keyOf } from './commands.js';

const DIGIT = /^[1-9]$/;
const SLIDER_KEYS = /^(arrow|page|home|end)/;

/** The command of a key; undefined if there is none. */
function commandOf(key) {
  return COMMANDS.find((command) => command.key === key || command.otherKey === key);
}

/** What a key does: a function, or undefined if it is not ours. */
function actionOf(viewer, key) {
  const preset = viewer.scene.presets.find((one) => one.key && one.key.toLowerCase() === key);
  if (preset) return () => viewer.setWindow([preset.low, preset.high]);
  if (DIGIT.test(key)) {
    const structure = viewer.scene.structures[Number(key) - 1];
    return structure && (() => viewer.choose(structure.value));
  }
  const command = commandOf(key);
  return command && !command.isHeld ? () => viewer.run(command) : undefined;
}

/** Whether the element that has the focus needs this key itself. */
function isNeededBy(target, key) {
  if (target.matches?.('input[type="range"]')) return SLIDER_KEYS.test(key);
  if (target.matches?.('input[type="checkbox"], button')) return key === ' ' || key === 'enter';
  return false;
}

export function listenToKeys(viewer) {
  const { root, keys } = viewer.frame;
  const isHide = (key) => Boolean(commandOf(key)?.isHeld);
  const take = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  root.addEventListener('keydown', (event) => {
    const key = keyOf(event);
    if (!viewer.stage?.grid || isNeededBy(event.target, key)) return;
    if (isHide(key)) {
      if (!event.repeat) viewer.look.set({ isHiding: true });
      take(event);
      return;
    }
    if (!keys.hidden && (key === 'escape' || key === '?')) viewer.toggleKeys();
    else if (viewer.pointer.takesKey(key)) viewer.refresh();
    else {
      const action = actionOf(viewer, key);
      if (!action || (key === 'escape' && viewer.tool.name === 'move')) return;
      action();
    }
    take(event);
  });
  root.addEventListener('keyup', (event) => {
    if (!isHide(keyOf(event)) || !viewer.look.isHiding || isNeededBy(event.target, keyOf(event))) return;
    viewer.look.set({ isHiding: false });
    take(event);
  });
  root.addEventListener('focusout', (event) => {
    if (viewer.look.isHiding && !root.contains(event.relatedTarget)) viewer.look.set({ isHiding: false });
  });
}

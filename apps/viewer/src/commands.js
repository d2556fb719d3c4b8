// What can be done by a button or a key. Toolbars, keys and the list of keys are all made from this table.
// `run`, `isOn` and `can` take the viewer.

import { LAYOUTS, VIEW_NAMES } from './layout.js';

const hasTools = (viewer) => viewer.canEdit;
const hasDrawing = (viewer) => viewer.canEdit && viewer.selected !== null;

function layoutCommand(layout) {
  return {
    id: `view-${layout}`,
    group: 'Views',
    label: layout === 'grid' ? 'All' : VIEW_NAMES[layout],
    title: layout === 'grid' ? 'All views side by side' : `${VIEW_NAMES[layout]} view alone (or double-click it)`,
    run: (viewer) => viewer.setLayout(layout),
    isOn: (viewer) => viewer.look.layout === layout,
    can: (viewer) => viewer.canShow(layout),
  };
}

function styleCommand(style, label) {
  return {
    id: `style-${style}`,
    group: 'Labels',
    label,
    title: `Show structures as ${style === 'fill' ? 'areas' : 'lines of one pixel'} (F)`,
    run: (viewer) => viewer.look.set({ style }),
    isOn: (viewer) => viewer.look.style === style,
  };
}

function toolCommand(id, label, key, title) {
  return {
    id: `tool-${id}`,
    group: 'Tools',
    label,
    key,
    title,
    run: (viewer) => viewer.setTool(id),
    isOn: (viewer) => viewer.tool.name === id,
    can: id === 'move' ? undefined : hasDrawing,
    edits: true,
  };
}

/** Keys that go through the slices of the view that was used last. */
const STEPS = [
  ['arrowup', 'arrowright', 1, 'One slice up, to the right or to the front'],
  ['arrowdown', 'arrowleft', -1, 'One slice down, to the left or to the back'],
  ['pageup', undefined, 10, 'Ten slices on'],
  ['pagedown', undefined, -10, 'Ten slices back'],
  ['end', undefined, Infinity, 'Last slice'],
  ['home', undefined, -Infinity, 'First slice'],
];

export const COMMANDS = [
  ...LAYOUTS.map(layoutCommand),
  { id: 'next-view', key: 'v', title: 'Next view', run: (viewer) => viewer.nextLayout() },
  styleCommand('fill', 'Fill'),
  styleCommand('outline', 'Outline'),
  { id: 'style', key: 'f', title: 'Fill or outline', run: (viewer) => viewer.look.nextStyle() },
  { id: 'fainter', key: ',', title: 'Labels fainter', run: (viewer) => viewer.look.addOpacity(-0.1) },
  { id: 'stronger', key: '.', title: 'Labels stronger', run: (viewer) => viewer.look.addOpacity(0.1) },
  {
    id: 'hide',
    group: 'Labels',
    label: 'Hide',
    key: 'h',
    otherKey: ' ',
    title: 'Hide all structures while the key H or the space bar is held',
    isHeld: true,
    run: (viewer) => viewer.look.set({ isHiding: !viewer.look.isHiding }),
    isOn: (viewer) => viewer.look.isHiding,
  },
  {
    id: 'crosshair',
    group: 'Look',
    label: 'Crosshair',
    key: 'x',
    title: 'Show the crosshair',
    run: (viewer) => viewer.look.set({ crosshair: !viewer.look.crosshair }),
    isOn: (viewer) => viewer.look.crosshair,
    can: (viewer) => viewer.hasGl,
  },
  {
    id: 'measure',
    group: 'Look',
    label: 'Caliper',
    key: 'm',
    title: 'Measure distances by dragging',
    run: (viewer) => viewer.setTool(viewer.tool.name === 'measure' ? 'move' : 'measure'),
    isOn: (viewer) => viewer.tool.name === 'measure',
    can: (viewer) => viewer.hasGl,
  },
  { id: 'unmeasure', key: 'delete', otherKey: 'backspace', title: 'Remove distances', run: (v) => v.stage.clearMeasures() },
  {
    id: 'cine',
    group: 'Look',
    label: 'Cine',
    key: 'k',
    title: 'Play through the slices',
    run: (viewer) => viewer.toggleCine(),
    isOn: (viewer) => viewer.isPlaying,
  },
  {
    id: 'reset',
    group: 'Look',
    label: 'Reset',
    key: '0',
    title: 'Whole image, first window',
    run: (viewer) => viewer.reset(),
  },
  { id: 'keys', group: 'Look', label: 'Keys', key: '?', title: 'List of keys', run: (viewer) => viewer.toggleKeys() },
  toolCommand('move', 'Move', 'escape', 'Move the crosshair; turn the 3D view'),
  toolCommand('paint', 'Paint', 'b', 'Paint the chosen structure; hold Ctrl to erase'),
  toolCommand('erase', 'Erase', 'e', 'Erase the chosen structure'),
  toolCommand('polygon', 'Polygon', 'p', 'Draw around an area, or click its corners and then the first one; hold Ctrl to erase'),
  toolCommand('ellipse', 'Ellipse', 'o', 'Drag an ellipse; hold Ctrl to erase'),
  toolCommand('grow', 'Grow', 'g', 'Click: grow over voxels of like value in the slice; with Shift in all directions'),
  {
    ...toolCommand('point', 'Point', 'l', 'Click what is inside; hold Ctrl for what is not'),
    can: (viewer) => hasDrawing(viewer) && viewer.scene.takes_clicks,
    isForClicks: true,
  },
  {
    id: 'between',
    group: 'Tools',
    label: 'Fill between',
    key: 'i',
    title: 'Fill the slices between two on which you drew the chosen structure',
    run: (viewer) => viewer.fillBetween(),
    can: hasDrawing,
    edits: true,
  },
  { id: 'smaller', key: '[', title: 'Smaller brush', run: (viewer) => viewer.addSize(-1), edits: true },
  { id: 'larger', key: ']', title: 'Larger brush', run: (viewer) => viewer.addSize(1), edits: true },
  {
    id: 'protect',
    group: 'Options',
    label: 'Protect others',
    key: 'u',
    title: 'Leave the other structures as they are',
    run: (viewer) => viewer.setTool(viewer.tool.name, { protects: !viewer.tool.protects }),
    isOn: (viewer) => viewer.tool.protects,
    edits: true,
  },
  {
    id: 'undo',
    group: 'Edit',
    label: 'Undo',
    key: 'ctrl+z',
    title: 'Take the last change back',
    run: (viewer) => viewer.undo(),
    can: (viewer) => hasTools(viewer) && viewer.drawing.history.done.length > 0,
    edits: true,
  },
  {
    id: 'redo',
    group: 'Edit',
    label: 'Redo',
    key: 'ctrl+y',
    otherKey: 'ctrl+shift+z',
    title: 'Make the change again',
    run: (viewer) => viewer.redo(),
    can: (viewer) => hasTools(viewer) && viewer.drawing.history.undone.length > 0,
    edits: true,
  },
  {
    id: 'revert',
    group: 'Edit',
    label: 'Revert',
    title: 'The chosen structure as it was before the changes',
    run: (viewer) => viewer.revert(),
    can: hasDrawing,
    edits: true,
  },
  {
    id: 'save',
    group: 'Save',
    label: 'Save',
    key: 'ctrl+s',
    title: 'Keep the drawing as a new version',
    run: (viewer) => viewer.save(),
    can: (viewer) => hasTools(viewer) && viewer.hasUnsaved && !viewer.isSaving,
    edits: true,
  },
  ...STEPS.map(([key, otherKey, count, title]) => ({ id: key, key, otherKey, title, run: (viewer) => viewer.step(count) })),
];

const KEY_NAMES = {
  ' ': 'Space', escape: 'Esc', arrowup: '↑', arrowright: '→', arrowdown: '↓', arrowleft: '←',
  pageup: 'Page up', pagedown: 'Page down',
};

/** A key as it is printed on a keyboard. */
export function keyLabel(key) {
  const parts = key === '+' ? ['+'] : key.split('+');
  return parts.map((part) => KEY_NAMES[part] ?? part.charAt(0).toUpperCase() + part.slice(1)).join('+');
}

/** The name of the key that was pressed, as in the table: such as `b`, `ctrl+z`, `shift+1`; empty with Alt. */
export function keyOf(event) {
  if (event.altKey) return '';
  const digit = /^Digit(\d)$/.exec(event.code);
  const key = digit && event.shiftKey ? digit[1] : event.key.toLowerCase();
  const isShifted = event.shiftKey && (digit || key.length > 1 || event.ctrlKey || event.metaKey);
  return `${event.ctrlKey || event.metaKey ? 'ctrl+' : ''}${isShifted ? 'shift+' : ''}${key}`;
}

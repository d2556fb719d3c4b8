// Where the views are on the stage: [left, top, width, height] as parts of it.

export const LAYOUTS = ['grid', 'axial', 'coronal', 'sagittal', 'render'];
export const VIEW_NAMES = { axial: 'Axial', coronal: 'Coronal', sagittal: 'Sagittal', render: '3D' };

/** What the edges of a view are in the patient, in the radiological convention: left, right, top, bottom. */
export const LETTERS = { axial: 'RLAP', coronal: 'RLSI', sagittal: 'APSI', render: '' };

/**
 * Views and their places.
 *
 * @param {string} layout one of LAYOUTS
 * @param {string[]} planes that are more than a line
 * @param {boolean} has3D whether the structures are drawn in space
 * @returns {{view: string, place: number[]}[]}
 */
export function tilesOf(layout, planes, has3D) {
  if (layout !== 'grid') return [{ view: layout, place: [0, 0, 1, 1] }];
  if (planes.length === 1) return [{ view: planes[0], place: [0, 0, 1, 1] }];
  if (!has3D) {
    const side = planes.length - 1;
    return planes.map((view, n) => ({ view, place: n ? [0.6, (n - 1) / side, 0.4, 1 / side] : [0, 0, 0.6, 1] }));
  }
  return [...planes, 'render'].map((view, n) => ({ view, place: [(n % 2) / 2, Math.floor(n / 2) / 2, 0.5, 0.5] }));
}

/** The view at a point of the stage; undefined beside all of them. */
export function tileAt(tiles, x, y) {
  return tiles.find(({ place }) => x >= place[0] && x < place[0] + place[2] && y >= place[1] && y < place[1] + place[3]);
}

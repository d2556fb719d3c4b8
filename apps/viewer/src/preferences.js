// How a reader likes to look, kept in this browser. Nothing of a case is in it.

const PLACE = 'medseg-viewer';
const NAMES = ['style', 'opacity', 'crosshair'];
const STYLES = ['fill', 'outline'];

/** What was kept, as far as it is valid. */
export function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE) ?? '{}');
    const isValid = STYLES.includes(kept.style) && kept.opacity >= 0.05 && kept.opacity <= 1;
    return isValid ? { style: kept.style, opacity: kept.opacity, crosshair: kept.crosshair !== false } : {};
  } catch {
    return {}; // a browser without storage, or another program's words in it
  }
}

export function remember(look) {
  try {
    localStorage.setItem(PLACE, JSON.stringify(Object.fromEntries(NAMES.map((name) => [name, look[name]]))));
  } catch {
    // a browser without storage forgets
  }
}

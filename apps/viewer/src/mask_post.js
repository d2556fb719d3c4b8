// Sends the drawing to the server after every stroke, so that nothing is lost: one at a time, retried with growing
// waits, and each with a number of its own, because the server refuses one that is not greater than the last.

const QUIET_MS = 700;
const WAITS_MS = [1000, 2000, 4000, 8000, 15000, 30000];
const PATIENCE_MS = 180_000;

export class MaskPost {
  /**
   * @param {{parts: () => BlobPart[], name: string, url: string, sequence: number, onChange: () => void}} setup
   *   `parts` gives the drawing as the parts of a file, a copy; `name` is the case's
   */
  constructor({ parts, name, url, sequence, onChange }) {
    Object.assign(this, { parts, name, url, sequence, onChange });
    this.version = 0; // counts strokes
    this.stored = 0; // the version that the server has
    this.receipt = null; // what the server said of it
    this.trouble = '';
    this.attempt = 0;
    this.isSending = false;
    this.isClosed = false;
    this.timer = 0;
    this.waiting = []; // those who wait for a version: {version, resolve, reject}
  }

  /** Whether the server lacks strokes. */
  get isPending() {
    return this.stored < this.version;
  }

  /** A stroke was made. */
  changed() {
    this.version++;
    this.schedule(QUIET_MS);
    this.onChange();
  }

  /** New ticket: what failed with the old one is tried again. */
  moveTo(url, sequence) {
    this.sequence = Math.max(this.sequence, sequence);
    if (url === this.url) return;
    this.url = url;
    if (this.isPending || this.waiting.length) this.schedule(0);
  }

  /** Send at once what the server lacks. */
  flush() {
    if (this.isPending) this.schedule(0);
  }

  /**
   * Wait until the server has the drawing as it is now.
   *
   * @returns {Promise<{sequence: number, sha256: string}>} what the server said of it
   * @throws {Error} one sentence if it refuses the drawing for good
   */
  stores() {
    if (!this.isPending && this.receipt) return Promise.resolve(this.receipt);
    return new Promise((resolve, reject) => {
      this.waiting.push({ version: this.version, resolve, reject });
      this.schedule(0);
    });
  }

  /** Stop, after what is under way. */
  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  schedule(ms) {
    clearTimeout(this.timer);
    if (!this.isClosed) this.timer = setTimeout(() => this.send(), ms);
  }

  async send() {
    if (this.isSending) return; // goes on by itself when the one under way is done
    this.isSending = true;
    this.onChange();
    const version = this.version;
    try {
      this.receipt = await post(this.url, this.sequence++, await gzipped(this.parts()));
      this.stored = version;
      this.trouble = '';
      this.attempt = 0;
    } catch (error) {
      this.trouble = error.message;
      if (error.isFinal) this.refused(error);
      else this.schedule(WAITS_MS[Math.min(this.attempt++, WAITS_MS.length - 1)]);
    }
    this.isSending = false;
    this.settle();
  }

  /** Nothing is sent again by itself. */
  refused(error) {
    this.attempt = WAITS_MS.length;
    this.waiting.splice(0).forEach((one) => one.reject(error));
  }

  settle() {
    if (!this.trouble) {
      this.waiting.filter((one) => one.version <= this.stored).forEach((one) => one.resolve(this.receipt));
      this.waiting = this.waiting.filter((one) => one.version > this.stored);
      if (this.isPending) this.schedule(this.waiting.length ? 0 : QUIET_MS);
    }
    this.onChange();
  }
}

function gzipped(parts) {
  return new Response(new Blob(parts).stream().pipeThrough(new CompressionStream('gzip'))).blob();
}

async function post(url, sequence, body) {
  let answer;
  try {
    answer = await fetch(url, {
      method: 'POST',
      body,
      headers: { 'Content-Type': 'application/gzip', 'X-Medseg-Sequence': String(sequence) },
      credentials: 'same-origin',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new Error('the server cannot be reached; your strokes are kept here and sent again');
  }
  if (answer.ok) return answer.json();
  const isFinal = answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429;
  const why = await reason(answer);
  const words = isFinal
    ? `your strokes are not stored: ${why}; keep this page open and open the case again in another tab`
    : `${why}; your strokes are kept here and sent again`;
  throw Object.assign(new Error(words), { isFinal, why });
}

async function reason(answer) {
  const told = await answer.json().then((body) => body.error, () => '');
  return typeof told === 'string' && told ? told : `the server answered ${answer.status}`;
}

// Fetching voxels from our own server.

/**
 * The bytes of a URL.
 *
 * @param {string} url
 * @param {(share: number|null) => void} onProgress told the share from 0 to 1, or null where the size is not known
 * @param {AbortSignal} signal
 * @throws {Error} one sentence
 */
export async function fetchBytes(url, onProgress, signal) {
  let answer;
  try {
    answer = await fetch(url, { credentials: 'same-origin', signal });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('the server cannot be reached; check that the app still runs, then reload the page');
  }
  if (!answer.ok) {
    const hint = answer.status === 403 || answer.status === 404 ? '; open the case again' : '';
    throw new Error(`the server refused the voxels (${answer.status})${hint}`);
  }
  return collected(answer, onProgress);
}

async function collected(answer, onProgress) {
  const isPacked = !['identity', null].includes(answer.headers.get('Content-Encoding'));
  const size = isPacked ? 0 : Number(answer.headers.get('Content-Length')); // of the packed bytes, which is no help
  if (!size) {
    onProgress(null);
    return answer.arrayBuffer();
  }
  const bytes = new Uint8Array(size);
  let count = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes.set(value, count);
    count += value.length;
    onProgress(count / size);
  }
  if (count !== size) throw new Error('the voxels were cut off on their way; reload the page');
  return bytes.buffer;
}

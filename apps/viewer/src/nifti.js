// The few fields of a NIfTI-1 file that labels need; images are read by NiiVue.

const HEADER_BYTES = 348;
const UINT8 = 2;
const PLACES = { dim: 40, datatype: 70, voxOffset: 108 };

/**
 * Shape, and where the voxels begin, of a raw NIfTI-1 file of bytes.
 *
 * @param {ArrayBuffer} buffer the whole file
 * @returns {{shape: number[], offset: number}}
 * @throws {Error} one sentence if the file is of another kind or cut off
 */
export function readByteHeader(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES + 4 || view.getInt32(0, true) !== HEADER_BYTES) {
    throw new Error('the outlines are not a NIfTI file');
  }
  if (view.getInt16(PLACES.datatype, true) !== UINT8) throw new Error('the outlines are not bytes');
  const shape = [1, 2, 3].map((axis) => Math.max(1, view.getInt16(PLACES.dim + 2 * axis, true)));
  const offset = Math.max(HEADER_BYTES + 4, Math.round(view.getFloat32(PLACES.voxOffset, true)));
  if (buffer.byteLength < offset + shape[0] * shape[1] * shape[2]) throw new Error('the outlines are cut off');
  return { shape, offset };
}

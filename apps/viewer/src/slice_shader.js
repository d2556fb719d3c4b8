// How a slice is drawn. NiiVue colours the whole volume anew for every window, which takes seconds in a large study
// without a graphics card; here the values themselves are on the card, and a window is two numbers.

const UNIT = 13; // a texture unit that NiiVue does not use

/** By the array of the image: storage, format and type of its texture, and the sampler that reads it. */
function kindOf(gl, values) {
  if (values instanceof Int16Array) return [gl.R16I, gl.RED_INTEGER, gl.SHORT, 'isampler3D'];
  if (values instanceof Uint16Array) return [gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT, 'usampler3D'];
  if (values instanceof Uint8Array) return [gl.R8UI, gl.RED_INTEGER, gl.UNSIGNED_BYTE, 'usampler3D'];
  return [gl.R32F, gl.RED, gl.FLOAT, 'sampler3D'];
}

// `texPos` comes from NiiVue's vertex shader: a place from 0 to 1 along right, anterior, superior. The uniforms from
// `drawing` to `drawRimOpacity` are NiiVue's too; a negative rim means that areas are filled.
const shaderText = (sampler) => `#version 300 es
precision highp float;
precision highp int;
uniform highp ${sampler} values;
uniform mat3 toFile;
uniform vec3 fileStart;
uniform vec2 window;
uniform highp sampler3D drawing;
uniform highp sampler2D colormap;
uniform highp sampler3D overlay;
uniform float overlays;
uniform float drawOpacity;
uniform float drawRimOpacity;
uniform float rimPixels;
in vec3 texPos;
out vec4 color;

float valueAt(ivec3 place, ivec3 last) {
  return float(texelFetch(values, clamp(place, ivec3(0), last), 0).r);
}

float smoothValue(vec3 place) {
  ivec3 size = textureSize(values, 0);
  ivec3 last = size - 1;
  vec3 voxel = place * vec3(size) - 0.5;
  ivec3 low = ivec3(floor(voxel));
  vec3 part = voxel - floor(voxel);
  vec4 near = vec4(valueAt(low, last), valueAt(low + ivec3(1, 0, 0), last),
                   valueAt(low + ivec3(0, 1, 0), last), valueAt(low + ivec3(1, 1, 0), last));
  vec4 far = vec4(valueAt(low + ivec3(0, 0, 1), last), valueAt(low + ivec3(1, 0, 1), last),
                  valueAt(low + ivec3(0, 1, 1), last), valueAt(low + ivec3(1, 1, 1), last));
  vec4 plane = mix(near, far, part.z);
  vec2 row = mix(plane.xy, plane.zw, part.y);
  return mix(row.x, row.y, part.x);
}

int labelAt(vec3 place) {
  return int(texture(drawing, place).r * 255.0 + 0.5);
}

bool isRim(int label) {
  vec3 right = dFdx(texPos) * rimPixels;
  vec3 up = dFdy(texPos) * rimPixels;
  return labelAt(texPos + right) != label || labelAt(texPos - right) != label ||
         labelAt(texPos + up) != label || labelAt(texPos - up) != label;
}

void main() {
  float grey = (smoothValue(toFile * texPos + fileStart) - window.x) * window.y;
  color = vec4(vec3(isnan(grey) ? 0.0 : clamp(grey, 0.0, 1.0)), 1.0);
  int label = labelAt(texPos);
  bool isOnRim = isRim(label);
  vec4 paint = texelFetch(colormap, ivec2(label, textureSize(colormap, 0).y - 1), 0);
  float strength = drawRimOpacity < 0.0 ? drawOpacity : isOnRim ? drawRimOpacity : 0.0;
  color.rgb = mix(color.rgb, paint.rgb, paint.a * strength);
  if (overlays > 0.0) {
    vec4 over = texture(overlay, texPos);
    color.rgb = mix(color.rgb, over.rgb, over.a);
  }
}`;

/** The image's values on the graphics card, and the window through which they are seen. */
export class SliceShader {
  /**
   * @param {object} nv NiiVue, with the image as its first volume
   * @param {object} image NVImage with one value a voxel
   * @param {import('./planes.js').Grid} grid
   */
  constructor(nv, image, grid) {
    this.nv = nv;
    const { gl } = nv;
    this.slope = image.hdr.scl_slope || 1;
    this.inter = image.hdr.scl_inter || 0;
    const [storage, format, type, sampler] = kindOf(gl, image.img);
    this.texture = gl.createTexture();
    this.bind();
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, name, gl.NEAREST);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texStorage3D(gl.TEXTURE_3D, 1, storage, ...grid.toShape());
    const values = image.img instanceof Float64Array ? Float32Array.from(image.img) : image.img;
    gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, 0, ...grid.toShape(), format, type, values.subarray(0, grid.size));
    this.install(shaderText(sampler));
    this.program.use(gl);
    const { uniforms } = this.program;
    gl.uniform1i(uniforms.values, UNIT);
    gl.uniform1f(uniforms.rimPixels, Math.max(1, Math.round(window.devicePixelRatio)));
    gl.uniformMatrix3fv(uniforms.toFile, false, toFile(grid.perm));
    gl.uniform3fv(uniforms.fileStart, fileStart(grid.perm));
    nv.updateGLVolume();
  }

  /** Give NiiVue the shader; it would draw with it at once, before its uniforms are set. */
  install(text) {
    this.nv.updateGLVolume = () => {};
    this.nv.setCustomSliceShader(text);
    delete this.nv.updateGLVolume;
    this.program = this.nv.customSliceShader;
  }

  bind() {
    const { gl } = this.nv;
    gl.activeTexture(gl.TEXTURE0 + UNIT);
    gl.bindTexture(gl.TEXTURE_3D, this.texture);
  }

  setWindow([low, high]) {
    const { gl } = this.nv;
    this.program.use(gl);
    gl.uniform2f(this.program.uniforms.window, (low - this.inter) / this.slope, this.slope / (high - low));
  }

  close() {
    this.nv.gl.deleteTexture(this.texture);
    this.install('');
  }
}

/** The matrix, by columns, that turns directions along right, anterior, superior into those along the file's axes. */
function toFile(perm) {
  const matrix = new Float32Array(9);
  perm.forEach((p, axis) => {
    matrix[axis * 3 + Math.abs(p) - 1] = Math.sign(p);
  });
  return matrix;
}

/** Where the first corner of the grid is in the file, from 0 to 1. */
function fileStart(perm) {
  const start = [0, 0, 0];
  perm.filter((p) => p < 0).forEach((p) => {
    start[-p - 1] = 1;
  });
  return start;
}

/** Whether the slices of an image can be drawn so: it has one value a voxel, and fits on the card. */
export function isScalar(image, grid, nv) {
  return image.img.length < 3 * grid.size && !nv.opts.is2DSliceShader;
}

/** Let NiiVue set a volume up without colouring it: nothing of that is seen. */
export function quietly(gl, work) {
  Object.assign(gl, { drawArrays() {}, texSubImage3D() {} }); // in front of the methods of its class
  try {
    work();
  } finally {
    delete gl.drawArrays;
    delete gl.texSubImage3D;
  }
}

// A scan inside the page: binned patterns and the named images, compressed by what every browser undoes.

import { parseDetectors } from "./detectors.js";
import { unshuffleBytes } from "./shuffle.js";
import { toValues, VALUE_SIZES } from "./chunks.js";
import { ReadableError, toPlane } from "./transport.js";

/** Reads what is in the page itself. */
export class EmbeddedTransport {
  constructor() {
    this.about = JSON.parse(document.getElementById("about").textContent);
    this.unaskedBytes = 0;
    this.cannotCompute = true;
  }

  async describe() {
    return this.about;
  }

  /** Returns the values of an array of the page. */
  async embedded(name) {
    const { type } = this.about.arrays[name];
    const packed = fromBase64(document.getElementById(name).textContent);
    if (typeof DecompressionStream === "undefined") throw new ReadableError("this browser is too old to show the page", "use one of 2023 or later");
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const shuffled = new Uint8Array(await new Response(stream).arrayBuffer());
    const bytes = new Uint8Array(shuffled.length);
    unshuffleBytes(shuffled, VALUE_SIZES[type], bytes);
    return toValues(bytes, type);
  }

  patterns() {
    if (!this.cube) this.cube = this.embedded("patterns");
    return this.cube;
  }

  async pattern(y, x) {
    const { shape: [, columns, height, width], bin } = this.about.arrays.patterns;
    const start = (y * columns + x) * height * width;
    const plane = toPlane((await this.patterns()).slice(start, start + height * width), [height, width]);
    return { ...plane, step: bin };
  }

  async mean([top, left, bottom, right]) {
    const { shape: [, columns, height, width], bin } = this.about.arrays.patterns;
    const cube = await this.patterns(), size = height * width;
    const total = new Float64Array(size);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const start = (y * columns + x) * size;
        for (let i = 0; i < size; i++) total[i] += cube[start + i];
      }
    }
    const plane = toPlane(total.map((sum) => sum / ((bottom - top) * (right - left))), [height, width]);
    return { ...plane, step: bin };
  }

  /** Returns one of the named images: no other is in the page. */
  async image(text) {
    const [name] = Object.entries(this.about.presets).find(([, known]) => JSON.stringify(parseDetectors(known)) === JSON.stringify(parseDetectors(text)));
    return toPlane(await this.embedded(name), this.about.shape.slice(0, 2));
  }

  async bad() {
    return toPlane(new Uint8Array(1), [1, 1]);
  }

  async tiles() {
    const { shape: [height, width, down, across], bin } = this.about.arrays.patterns;
    const cube = await this.patterns(), positions = height * width, count = down * across;
    const sums = new Float32Array(cube.length);
    for (let p = 0; p < positions; p++) {
      for (let t = 0; t < count; t++) sums[t * positions + p] = cube[p * count + t];
    }
    return { sums, down, across, height, width, tile: bin, step: 1, whole: true };
  }
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < characters.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

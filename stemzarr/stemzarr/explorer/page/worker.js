// Decodes beside the page, so that it stays quick.

import { decodeChunk, toValues } from "./chunks.js";

/** Returns the sums of `count` patterns over pixels with their signs. */
function sumUnder(values, { pixels, signs }, count) {
  const size = values.length / count;
  const sums = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const start = i * size;
    let sum = 0;
    for (let j = 0; j < pixels.length; j++) sum += signs[j] * values[start + pixels[j]];
    sums[i] = sum;
  }
  return sums;
}

self.onmessage = ({ data: { id, bytes, codec, size, type, mask, count } }) => {
  try {
    const values = toValues(decodeChunk(bytes, codec, size), type);
    const result = mask ? sumUnder(values, mask, count) : values;
    self.postMessage({ id, result }, [result.buffer]);
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};

// Decodes beside the page, so that it stays quick.

import { decodeChunk, toValues } from "./chunks.js";

/** How often a chunk is decoded until the decoder is compiled: the first takes 20 times as long. */
const WARM = 10;

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

/** Decodes a chunk for nothing, between what is asked for. */
function warmUp(chunk, times = WARM) {
  try {
    decodeChunk(chunk.bytes, chunk.codec, chunk.size);
  } catch {
    return; // whoever asked for it has the error
  }
  if (times > 1) setTimeout(() => warmUp(chunk, times - 1));
}

self.onmessage = ({ data }) => {
  const { id, bytes, codec, size, type, mask, count } = data;
  if (data.warm) {
    warmUp(data);
    return;
  }
  try {
    const values = toValues(decodeChunk(bytes, codec, size), type);
    const result = mask ? sumUnder(values, mask, count) : values;
    self.postMessage({ id, result }, [result.buffer]);
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};

// Blosc 1 frames. https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst

import { demand } from "./damaged.js";
import { decodeLz4 } from "./lz4.js";
import { unshuffleBits, unshuffleBytes } from "./shuffle.js";
import { decodeZstd } from "./zstd.js";

const HEADER = 16;
const MOST_SPLIT = 16, LEAST_SPLIT = 128;
const FORMATS = { 1: decodeLz4, 4: decodeZstd };

/** Returns the bytes that a frame holds, which must be `size`. */
export function decodeBlosc(frame, size) {
  demand(frame.length >= HEADER, `blosc: ${frame.length} bytes are not a frame`);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const flags = frame[2], itemsize = frame[3];
  const [declared, blockSize, stored] = [4, 8, 12].map((at) => view.getUint32(at, true));
  demand(declared === size, `blosc: holds ${declared} bytes instead of ${size}`);
  demand(stored === frame.length, `blosc: has ${frame.length} bytes and declares ${stored}`);
  if (flags & 2) {
    demand(frame.length === HEADER + size, "blosc: a copy of the wrong length");
    return frame.slice(HEADER);
  }
  const out = new Uint8Array(size);
  if (!size) return out;
  const decode = FORMATS[flags >> 5];
  demand(decode, `blosc: compressed by format ${flags >> 5}, which is not read here`);
  demand(itemsize > 0 && blockSize > 0 && blockSize <= 2 ** 31, "blosc: a size of 0");
  const blocks = Math.ceil(size / blockSize);
  demand(HEADER + 4 * blocks <= frame.length, "blosc: the starts of blocks end early");
  const shape = { flags, itemsize, blockSize, decode };
  for (let i = 0; i < blocks; i++) {
    const block = out.subarray(i * blockSize, Math.min(size, (i + 1) * blockSize));
    decodeBloscBlock(frame, view, view.getUint32(HEADER + 4 * i, true), block, shape);
  }
  return out;
}

function decodeBloscBlock(frame, view, start, out, { flags, itemsize, blockSize, decode }) {
  const bits = flags & 4, bytes = flags & 1 && itemsize > 1;
  const plain = bits || bytes ? new Uint8Array(out.length) : out;
  const whole = out.length === blockSize;
  const split = !(flags & 16) && whole && itemsize <= MOST_SPLIT && Math.floor(blockSize / itemsize) >= LEAST_SPLIT;
  const streams = split ? itemsize : 1;
  const length = Math.floor(out.length / streams);
  demand(!split || length * streams === out.length, "blosc: a block that cannot be split");
  let at = start;
  for (let i = 0; i < streams; i++) {
    demand(at >= HEADER && at + 4 <= frame.length, "blosc: a block beyond the end");
    const packed = view.getUint32(at, true);
    at += 4;
    demand(packed <= frame.length - at, "blosc: a block beyond the end");
    const source = frame.subarray(at, at + packed), target = plain.subarray(i * length, (i + 1) * length);
    if (packed === length) target.set(source); else decode(source, target);
    at += packed;
  }
  if (bits) unshuffleBits(plain, itemsize, out);
  else if (bytes) unshuffleBytes(plain, itemsize, out);
}

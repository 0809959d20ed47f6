// Bits of a stream that zstd writes forwards and reads backwards. RFC 8878, sections 4.1 and 4.2.

import { demand } from "./damaged.js";

/** Returns the place of the highest set bit; -1 of 0. */
export function highBit(value) {
  return 31 - Math.clz32(value);
}

/** Reads bits from the end of bytes to their start. Behind the start there are zeros. */
export class BackwardBits {
  /** `bytes` has at least four more bytes behind `end`. */
  constructor(bytes, start, end) {
    demand(end > start && bytes[end - 1], "zstd: a bit stream has no end");
    this.bytes = bytes;
    this.start = 8 * start;
    this.at = 8 * (end - 1) + highBit(bytes[end - 1]);
  }

  /** Returns the next `count` bits, 25 at most, and goes on behind them. */
  read(count) {
    this.at -= count;
    return this.look(this.at, count);
  }

  /** Returns `count` bits from a place on. */
  look(place, count) {
    const missing = this.start - place;
    if (missing > 0) {
      return missing >= count ? 0 : (this.look(this.start, count - missing) << missing) >>> 0;
    }
    const bytes = this.bytes, i = place >>> 3;
    const word = bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    return (word >>> (place & 7)) & ((1 << count) - 1);
  }

  /** Throws unless all bits, and no more, have been read. */
  finish() {
    demand(this.at === this.start, "zstd: a bit stream does not end where its values do");
  }
}

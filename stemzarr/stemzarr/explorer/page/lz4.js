// LZ4 blocks. https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md

import { demand } from "./damaged.js";

const LEAST_MATCH = 4;

/** Decodes the block in `source` into all of `out`. */
export function decodeLz4(source, out) {
  let from = 0, to = 0;
  const length = (nibble) => {
    if (nibble < 15) return nibble;
    let total = 15, byte;
    do {
      demand(from < source.length, "lz4: a length ends early");
      byte = source[from++];
      total += byte;
    } while (byte === 255);
    return total;
  };
  while (from < source.length) {
    const token = source[from++];
    const literals = length(token >> 4);
    demand(from + literals <= source.length && to + literals <= out.length, "lz4: literals beyond the end");
    out.set(source.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === source.length) break;
    demand(from + 2 <= source.length, "lz4: an offset ends early");
    const offset = source[from] | (source[from + 1] << 8);
    from += 2;
    const match = length(token & 15) + LEAST_MATCH;
    demand(offset > 0 && offset <= to, "lz4: an offset before the start");
    demand(to + match <= out.length, "lz4: a match beyond the end");
    copyMatch(out, to, offset, match);
    to += match;
  }
  demand(to === out.length, `lz4: holds ${to} bytes instead of ${out.length}`);
}

/** Copies `length` bytes from `offset` bytes back; where they overlap, what is copied repeats. */
export function copyMatch(out, to, offset, length) {
  if (offset >= length) {
    out.copyWithin(to, to - offset, to - offset + length);
  } else if (offset === 1) {
    out.fill(out[to - 1], to, to + length);
  } else {
    for (let i = to, end = to + length; i < end; i++) out[i] = out[i - offset];
  }
}

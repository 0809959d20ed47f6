// Finite state entropy tables of zstd. RFC 8878, section 4.1.

import { demand } from "./damaged.js";
import { highBit } from "./bits.js";

/** Returns {table, end} of a table that is described at `start`. */
export function readFseTable(bytes, start, end, mostSymbols, mostLog) {
  let at = 8 * start;
  const last = 8 * end;
  const look = (count) => {
    const i = at >>> 3;
    const word = bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    return (word >>> (at & 7)) & ((1 << count) - 1);
  };
  demand(start < end, "zstd: a table is missing");
  const log = look(4) + 5;
  at += 4;
  demand(log <= mostLog, "zstd: a table is too large");
  const counts = [];
  let remaining = 1 << log;
  while (remaining > 0) {
    demand(at < last && counts.length <= mostSymbols, "zstd: a table has no end");
    const bits = highBit(remaining + 1) + 1;
    const low = (1 << (bits - 1)) - 1, threshold = (1 << bits) - 2 - remaining;
    let value = look(bits);
    if ((value & low) < threshold) {
      value &= low;
      at += bits - 1;
    } else {
      if (value > low) value -= threshold;
      at += bits;
    }
    const count = value - 1;
    remaining -= Math.abs(count);
    counts.push(count);
    if (count) continue;
    for (let repeat = 3; repeat === 3;) {
      demand(at < last && counts.length <= mostSymbols, "zstd: a table has no end");
      repeat = look(2);
      at += 2;
      for (let i = 0; i < repeat; i++) counts.push(0);
    }
  }
  demand(remaining === 0 && counts.length <= mostSymbols && at <= last, "zstd: a table does not add up");
  return { table: buildFseTable(counts, log), end: (at + 7) >>> 3 };
}

/** Returns the decoding table of normalized counts: for every state its symbol, its bits, its base. */
export function buildFseTable(counts, log) {
  const size = 1 << log;
  const symbols = new Uint8Array(size), bits = new Uint8Array(size), bases = new Uint16Array(size);
  const next = new Uint16Array(counts.length);
  let high = size;
  counts.forEach((count, symbol) => {
    if (count === -1) symbols[--high] = symbol;
    next[symbol] = count === -1 ? 1 : count;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let place = 0;
  counts.forEach((count, symbol) => {
    for (let i = 0; i < count; i++) {
      symbols[place] = symbol;
      do place = (place + step) & (size - 1); while (place >= high);
    }
  });
  demand(place === 0, "zstd: a table does not add up");
  for (let state = 0; state < size; state++) {
    const value = next[symbols[state]]++;
    bits[state] = log - highBit(value);
    bases[state] = (value << bits[state]) - size;
  }
  return { log, symbols, bits, bases };
}

/** Returns the table that gives one symbol always. */
export function singleFseTable(symbol) {
  return { log: 0, symbols: Uint8Array.of(symbol), bits: Uint8Array.of(0), bases: Uint16Array.of(0) };
}

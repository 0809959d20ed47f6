// Huffman coded literals of zstd. RFC 8878, section 4.2.

import { BackwardBits, highBit } from "./bits.js";
import { demand } from "./damaged.js";
import { readFseTable } from "./fse.js";

const MOST_BITS = 11;

/** Returns {tree, end} of the tree that is described at `start`. */
export function readTree(bytes, start, end) {
  demand(start < end, "zstd: a Huffman tree is missing");
  const header = bytes[start];
  const from = start + 1;
  if (header >= 128) {
    const count = header - 127, length = (count + 1) >> 1;
    demand(from + length <= end, "zstd: a Huffman tree ends early");
    const weights = Array.from({ length: count }, (_, i) => (bytes[from + (i >> 1)] >> (i & 1 ? 0 : 4)) & 15);
    return { tree: buildTree(weights), end: from + length };
  }
  demand(from + header <= end, "zstd: a Huffman tree ends early");
  return { tree: buildTree(readWeights(bytes, from, from + header)), end: from + header };
}

function readWeights(bytes, start, end) {
  const { table, end: behind } = readFseTable(bytes, start, end, 256, 6);
  const stream = new BackwardBits(bytes, behind, end);
  const weights = [];
  const states = [stream.read(table.log), stream.read(table.log)];
  demand(stream.at >= stream.start, "zstd: Huffman weights end early");
  for (let turn = 0; ; turn ^= 1) {
    demand(weights.length < 255, "zstd: too many Huffman weights");
    const state = states[turn];
    weights.push(table.symbols[state]);
    states[turn] = table.bases[state] + stream.read(table.bits[state]);
    if (stream.at < stream.start) {
      weights.push(table.symbols[states[turn ^ 1]]);
      return weights;
    }
  }
}

function buildTree(weights) {
  let sum = 0;
  for (const weight of weights) {
    demand(weight <= MOST_BITS + 1, "zstd: a Huffman code is too long");
    if (weight) sum += 1 << (weight - 1);
  }
  demand(sum > 0 && weights.length < 256, "zstd: a Huffman tree is empty");
  const log = highBit(sum) + 1;
  const left = (1 << log) - sum;
  demand(log <= MOST_BITS && (left & (left - 1)) === 0, "zstd: a Huffman tree does not add up");
  const all = [...weights, highBit(left) + 1];
  const symbols = new Uint8Array(1 << log), bits = new Uint8Array(1 << log);
  let place = 0;
  for (let weight = 1; weight <= log; weight++) {
    all.forEach((own, symbol) => {
      if (own !== weight) return;
      const length = 1 << (weight - 1);
      symbols.fill(symbol, place, place + length);
      bits.fill(log + 1 - weight, place, place + length);
      place += length;
    });
  }
  demand(place === 1 << log, "zstd: a Huffman tree does not add up");
  return { log, symbols, bits };
}

/** Decodes one stream of literals into `out` from `to` to `stop`. */
export function decodeStream(bytes, start, end, tree, out, to, stop) {
  const stream = new BackwardBits(bytes, start, end);
  const { log, symbols, bits } = tree;
  const mask = (1 << log) - 1, first = stream.start + 25;
  let at = stream.at, i = to;
  // Two codes fit what is looked at at once.
  for (; i + 1 < stop && at >= first; i += 2) {
    const place = at - 25, byte = place >>> 3;
    const word = (bytes[byte] | (bytes[byte + 1] << 8) | (bytes[byte + 2] << 16) | (bytes[byte + 3] << 24)) >>> (place & 7);
    const one = (word >>> (25 - log)) & mask;
    out[i] = symbols[one];
    const used = bits[one];
    const two = (word >>> (25 - log - used)) & mask;
    out[i + 1] = symbols[two];
    at -= used + bits[two];
  }
  for (; i < stop; i++) {
    const code = stream.look(at - log, log);
    out[i] = symbols[code];
    at -= bits[code];
  }
  stream.at = at;
  stream.finish();
}

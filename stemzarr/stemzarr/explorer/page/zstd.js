// Zstandard frames without a dictionary. RFC 8878.

import { BackwardBits } from "./bits.js";
import { demand } from "./damaged.js";
import { buildFseTable, readFseTable, singleFseTable } from "./fse.js";
import { decodeStream, readTree } from "./huffman.js";
import { copyMatch } from "./lz4.js";

const MAGIC = 0xfd2fb528;
const MOST_BLOCK = 1 << 17;

const LITERAL_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const MATCH_BITS = [
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
];
const LITERAL_BASES = basesOf(LITERAL_BITS, 0), MATCH_BASES = basesOf(MATCH_BITS, 3);
const LITERAL_COUNTS = [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1];
const MATCH_COUNTS = [
  1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
  1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const OFFSET_COUNTS = [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1];

const KINDS = [
  { name: "literals", most: 36, log: 9, usual: buildFseTable(LITERAL_COUNTS, 6) },
  { name: "offsets", most: 32, log: 8, usual: buildFseTable(OFFSET_COUNTS, 5) },
  { name: "matches", most: 53, log: 9, usual: buildFseTable(MATCH_COUNTS, 6) },
];

function basesOf(bits, first) {
  let next = first;
  return bits.map((count) => { const base = next; next += 1 << count; return base; });
}

/** Decodes the frame that is all of `source` into all of `out`. */
export function decodeZstd(source, out) {
  // Bits are looked at in words, so that a few bytes behind the end are read.
  const bytes = new Uint8Array(source.length + 8);
  bytes.set(source);
  const frame = { bytes, end: source.length, out, to: 0, tree: null, tables: [null, null, null], offsets: [1, 4, 8] };
  let at = readFrameHeader(frame);
  for (let last = false; !last;) {
    demand(at + 3 <= frame.end, "zstd: a block is missing");
    const header = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
    at += 3;
    last = Boolean(header & 1);
    at = decodeBlock(frame, at, (header >> 1) & 3, header >> 3);
  }
  if (frame.hasChecksum) at += 4; // the chunk has a checksum of its own
  demand(at === frame.end, "zstd: the frame does not end where its bytes do");
  demand(frame.to === out.length, `zstd: holds ${frame.to} bytes instead of ${out.length}`);
}

function readFrameHeader(frame) {
  const { bytes, end, out } = frame;
  demand(end >= 6 && ((bytes[0] | (bytes[1] << 8) | (bytes[2] << 16) | (bytes[3] << 24)) >>> 0) === MAGIC, "zstd: not a frame");
  const flags = bytes[4];
  const single = flags & 32;
  demand(!(flags & 8) && !(flags & 3), "zstd: a reserved bit is set, or a dictionary is needed");
  frame.hasChecksum = Boolean(flags & 4);
  let at = 5 + (single ? 0 : 1);
  const length = [single ? 1 : 0, 2, 4, 8][flags >> 6];
  demand(at + length <= end, "zstd: the header ends early");
  let size = 0;
  for (let i = length - 1; i >= 0; i--) size = size * 256 + bytes[at + i];
  if (length === 2) size += 256;
  demand(!length || size === out.length, `zstd: declares ${size} bytes instead of ${out.length}`);
  at += length;
  return at;
}

function decodeBlock(frame, at, type, size) {
  const { bytes, end, out, to } = frame;
  if (type === 1) {
    demand(at < end && to + size <= out.length, "zstd: a block beyond the end");
    out.fill(bytes[at], to, to + size);
    frame.to += size;
    return at + 1;
  }
  demand(type !== 3 && size <= MOST_BLOCK && at + size <= end, "zstd: a block beyond the end");
  if (type === 0) {
    demand(to + size <= out.length, "zstd: a block beyond the end");
    out.set(bytes.subarray(at, at + size), to);
    frame.to += size;
  } else {
    const { literals, behind } = readLiterals(frame, at, at + size);
    decodeSequences(frame, literals, behind, at + size);
    demand(frame.to - to <= MOST_BLOCK, "zstd: a block is too large");
  }
  return at + size;
}

function readLiterals(frame, at, end) {
  const { bytes } = frame;
  demand(at < end, "zstd: literals are missing");
  const type = bytes[at] & 3, format = (bytes[at] >> 2) & 3;
  if (type < 2) {
    const length = format & 1 ? (format === 1 ? 2 : 3) : 1;
    demand(at + length <= end, "zstd: literals are missing");
    const size = [bytes[at] >> 3, (bytes[at] >> 4) | (bytes[at + 1] << 4), 0, (bytes[at] >> 4) | (bytes[at + 1] << 4) | (bytes[at + 2] << 12)][format & 1 ? format : 0];
    const from = at + length;
    demand(size <= MOST_BLOCK && from + (type ? 1 : size) <= end, "zstd: literals beyond the end");
    if (type === 0) return { literals: bytes.subarray(from, from + size), behind: from + size };
    return { literals: new Uint8Array(size).fill(bytes[from]), behind: from + 1 };
  }
  const length = [3, 3, 4, 5][format];
  demand(at + length <= end, "zstd: literals are missing");
  const width = [10, 10, 14, 18][format];
  const word = bytes[at] / 16 + bytes[at + 1] * 16 + bytes[at + 2] * 4096 + (length > 3 ? bytes[at + 3] * 2 ** 20 : 0) + (length > 4 ? bytes[at + 4] * 2 ** 28 : 0);
  const whole = Math.floor(word), size = whole % 2 ** width, packed = Math.floor(whole / 2 ** width) % 2 ** width;
  let from = at + length;
  const behind = from + packed;
  demand(size <= MOST_BLOCK && behind <= end, "zstd: literals beyond the end");
  if (type === 2) {
    const read = readTree(bytes, from, behind);
    frame.tree = read.tree;
    from = read.end;
  }
  demand(frame.tree, "zstd: literals without a Huffman tree");
  const literals = new Uint8Array(size);
  if (format === 0) decodeStream(bytes, from, behind, frame.tree, literals, 0, size);
  else decodeFourStreams(frame, from, behind, literals);
  return { literals, behind };
}

function decodeFourStreams({ bytes, tree }, from, end, literals) {
  demand(from + 6 <= end, "zstd: four streams are too short");
  const share = (literals.length + 3) >> 2;
  demand(3 * share <= literals.length, "zstd: four streams of too few literals");
  let start = from + 6;
  for (let i = 0; i < 4; i++) {
    const stop = i < 3 ? start + (bytes[from + 2 * i] | (bytes[from + 2 * i + 1] << 8)) : end;
    demand(stop <= end, "zstd: a stream beyond the end");
    decodeStream(bytes, start, stop, tree, literals, i * share, i < 3 ? (i + 1) * share : literals.length);
    start = stop;
  }
}

function readTables(frame, at, end, modes) {
  demand(!(modes & 3), "zstd: a reserved bit is set");
  KINDS.forEach((kind, i) => {
    const mode = (modes >> (6 - 2 * i)) & 3;
    if (mode === 0) frame.tables[i] = kind.usual;
    else if (mode === 1) {
      demand(at < end && frame.bytes[at] < kind.most, "zstd: a symbol that does not exist");
      frame.tables[i] = singleFseTable(frame.bytes[at++]);
    } else if (mode === 2) {
      const read = readFseTable(frame.bytes, at, end, kind.most, kind.log);
      frame.tables[i] = read.table;
      at = read.end;
    }
    demand(frame.tables[i], "zstd: a table is repeated that was never there");
  });
  return at;
}

function decodeSequences(frame, literals, at, end) {
  const { bytes, out, offsets } = frame;
  demand(at < end, "zstd: sequences are missing");
  let count = bytes[at++];
  if (count >= 128) {
    demand(at + (count === 255 ? 2 : 1) <= end, "zstd: sequences are missing");
    count = count === 255 ? bytes[at] + (bytes[at + 1] << 8) + 0x7f00 : ((count - 128) << 8) + bytes[at];
    at += bytes[at - 1] === 255 ? 2 : 1;
  }
  let to = frame.to, from = 0;
  if (count) {
    demand(at < end, "zstd: sequences are missing");
    const modes = bytes[at++];
    at = readTables(frame, at, end, modes);
    const [literalTable, offsetTable, matchTable] = frame.tables;
    const stream = new BackwardBits(bytes, at, end);
    let literalState = stream.read(literalTable.log), offsetState = stream.read(offsetTable.log), matchState = stream.read(matchTable.log);
    for (let i = 0; i < count; i++) {
      const offsetCode = offsetTable.symbols[offsetState];
      const value = 2 ** offsetCode + (offsetCode > 16 ? stream.read(offsetCode - 16) * 65536 + stream.read(16) : stream.read(offsetCode));
      const matchCode = matchTable.symbols[matchState], match = MATCH_BASES[matchCode] + stream.read(MATCH_BITS[matchCode]);
      const literalCode = literalTable.symbols[literalState], run = LITERAL_BASES[literalCode] + stream.read(LITERAL_BITS[literalCode]);
      if (i + 1 < count) {
        literalState = literalTable.bases[literalState] + stream.read(literalTable.bits[literalState]);
        matchState = matchTable.bases[matchState] + stream.read(matchTable.bits[matchState]);
        offsetState = offsetTable.bases[offsetState] + stream.read(offsetTable.bits[offsetState]);
      }
      demand(stream.at >= stream.start, "zstd: sequences end early");
      const offset = nextOffset(offsets, value, run);
      demand(from + run <= literals.length && to + run + match <= out.length, "zstd: a sequence beyond the end");
      if (run) out.set(literals.subarray(from, from + run), to);
      from += run;
      to += run;
      demand(offset > 0 && offset <= to, "zstd: an offset before the start");
      copyMatch(out, to, offset, match);
      to += match;
    }
    stream.finish();
  } else demand(at === end, "zstd: bytes behind the literals");
  demand(to + literals.length - from <= out.length, "zstd: literals beyond the end");
  out.set(literals.subarray(from), to);
  frame.to = to + literals.length - from;
}

/** Returns an offset; small values repeat one of the last three, which are renewed. */
function nextOffset(offsets, value, run) {
  if (value > 3) {
    offsets[2] = offsets[1];
    offsets[1] = offsets[0];
    offsets[0] = value - 3;
    return offsets[0];
  }
  const place = value - (run ? 1 : 0);
  if (place === 0) return offsets[0];
  const offset = place === 3 ? offsets[0] - 1 : offsets[place];
  if (place !== 1) offsets[2] = offsets[1];
  offsets[1] = offsets[0];
  offsets[0] = offset;
  return offset;
}

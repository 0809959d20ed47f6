// CRC-32C (Castagnoli), eight bytes at a time.
// M. E. Kounavis, F. L. Berry, "A systematic approach to building high performance software-based CRC generators" (2005).

const POLYNOMIAL = 0x82f63b78;
const CRC_TABLES = makeTables();

function makeTables() {
  const tables = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[0][i] = crc;
  }
  for (let k = 1; k < 8; k++) {
    for (let i = 0; i < 256; i++) {
      const before = tables[k - 1][i];
      tables[k][i] = (before >>> 8) ^ tables[0][before & 255];
    }
  }
  return tables;
}

/** Returns the CRC-32C of bytes from `start` to `end`, as an unsigned number. */
export function crc32c(bytes, start = 0, end = bytes.length) {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = CRC_TABLES;
  let crc = -1, i = start;
  for (; i + 8 <= end; i += 8) {
    crc ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    crc = t7[crc & 255] ^ t6[(crc >>> 8) & 255] ^ t5[(crc >>> 16) & 255] ^ t4[crc >>> 24]
      ^ t3[bytes[i + 4]] ^ t2[bytes[i + 5]] ^ t1[bytes[i + 6]] ^ t0[bytes[i + 7]];
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}

/** Returns whether the last four bytes are the CRC-32C of those before them. */
export function crcMatches(bytes) {
  const end = bytes.length - 4;
  if (end < 0) return false;
  const stored = (bytes[end] | (bytes[end + 1] << 8) | (bytes[end + 2] << 16) | (bytes[end + 3] << 24)) >>> 0;
  return crc32c(bytes, 0, end) === stored;
}

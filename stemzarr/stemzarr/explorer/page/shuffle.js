// What Blosc does before it compresses, undone: bytes, or bits, sorted by their place in the value.

/** Puts bytes back that were sorted by their place in values of `size` bytes. */
export function unshuffleBytes(shuffled, size, out) {
  const count = Math.floor(shuffled.length / size);
  if (size === 2) {
    for (let i = 0, to = 0; i < count; i++, to += 2) {
      out[to] = shuffled[i];
      out[to + 1] = shuffled[count + i];
    }
  } else {
    for (let k = 0; k < size; k++) {
      const start = k * count;
      for (let i = 0, to = k; i < count; i++, to += size) out[to] = shuffled[start + i];
    }
  }
  out.set(shuffled.subarray(count * size), count * size);
}

/** Puts bits back that were sorted by their place in values of `size` bytes.
 *
 * Eight bytes, one of each bit's plane, are a square of bits; its transpose is a byte of eight values.
 * H. S. Warren, Hacker's Delight, 2nd ed., section 7-3. Planes of zeros, which counts have many of, are
 * left out.
 */
export function unshuffleBits(shuffled, size, out) {
  const count = Math.floor(shuffled.length / size);
  if (count % 8) {
    out.set(shuffled); // Blosc leaves such a block as it is
    return;
  }
  const plane = count / 8;
  out.fill(0);
  for (let k = 0; k < size; k++) {
    const first = 8 * k * plane;
    for (let i = 0; i < plane; i++) {
      const at = first + i;
      let y = shuffled[at] | (shuffled[at + plane] << 8) | (shuffled[at + 2 * plane] << 16) | (shuffled[at + 3 * plane] << 24);
      let x = shuffled[at + 4 * plane] | (shuffled[at + 5 * plane] << 8) | (shuffled[at + 6 * plane] << 16) | (shuffled[at + 7 * plane] << 24);
      if (!(x | y)) continue;
      let t = (x ^ (x >>> 7)) & 0x00aa00aa;
      x ^= t ^ (t << 7);
      t = (y ^ (y >>> 7)) & 0x00aa00aa;
      y ^= t ^ (t << 7);
      t = (x ^ (x >>> 14)) & 0x0000cccc;
      x ^= t ^ (t << 14);
      t = (y ^ (y >>> 14)) & 0x0000cccc;
      y ^= t ^ (t << 14);
      t = (x & 0xf0f0f0f0) | ((y >>> 4) & 0x0f0f0f0f);
      y = ((x << 4) & 0xf0f0f0f0) | (y & 0x0f0f0f0f);
      x = t;
      let to = 8 * i * size + k;
      out[to] = y; to += size;
      out[to] = y >>> 8; to += size;
      out[to] = y >>> 16; to += size;
      out[to] = y >>> 24; to += size;
      out[to] = x; to += size;
      out[to] = x >>> 8; to += size;
      out[to] = x >>> 16; to += size;
      out[to] = x >>> 24;
    }
  }
  out.set(shuffled.subarray(count * size), count * size);
}

// Chunks and shards of a Zarr v3 store as stemzarr writes it: crc32c over everything.

import { decodeBlosc } from "./blosc.js";
import { crcMatches } from "./crc32c.js";
import { demand } from "./damaged.js";

const VALUE_TYPES = {
  bool: Uint8Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array,
  int32: Int32Array, float32: Float32Array, float64: Float64Array,
};

/** Bytes of a value of each type. */
export const VALUE_SIZES = {
  bool: 1, uint8: 1, int8: 1, uint16: 2, int16: 2, float16: 2, uint32: 4, int32: 4, float32: 4,
  uint64: 8, int64: 8, float64: 8, complex64: 8, complex128: 16,
};

/** Returns the bytes of a chunk. `codec` is "blosc" or "bytes", `size` how many there must be. */
export function decodeChunk(stored, codec, size) {
  demand(crcMatches(stored), "the checksum does not fit the bytes");
  const encoded = stored.subarray(0, stored.length - 4);
  if (codec === "blosc") return decodeBlosc(encoded, size);
  demand(encoded.length === size, `holds ${encoded.length} bytes instead of ${size}`);
  return encoded.slice();
}

/** Returns bytes as values of a type; what JavaScript has no type for as float64. */
export function toValues(bytes, type) {
  const Type = VALUE_TYPES[type];
  if (Type) return new Type(bytes.buffer, bytes.byteOffset, bytes.length / Type.BYTES_PER_ELEMENT);
  if (type === "float16") return Float32Array.from(new Uint16Array(bytes.buffer), fromHalf);
  if (type === "int64") return Float64Array.from(new BigInt64Array(bytes.buffer), Number);
  if (type === "uint64") return Float64Array.from(new BigUint64Array(bytes.buffer), Number);
  const parts = type === "complex64" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
  return Float64Array.from({ length: parts.length / 2 }, (_, i) => Math.hypot(parts[2 * i], parts[2 * i + 1]));
}

function fromHalf(half) {
  const exponent = (half >> 10) & 31, fraction = half & 1023, sign = half & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * (1 + fraction / 1024) * 2 ** (exponent - 15) : sign * fraction * 2 ** -24;
}

/** Returns [offset, length] of every chunk of a shard, null where there is none, from its index. */
export function parseIndex(stored, count, size) {
  demand(stored.length === 16 * count + 4, "the index of a shard ends early");
  demand(crcMatches(stored), "the checksum of the shard's index does not fit");
  const view = new DataView(stored.buffer, stored.byteOffset);
  const absent = 2n ** 64n - 1n, end = BigInt(size - stored.length);
  return Array.from({ length: count }, (_, i) => {
    const offset = view.getBigUint64(16 * i, true), length = view.getBigUint64(16 * i + 8, true);
    if (offset === absent && length === absent) return null;
    demand(offset + length <= end, "the index of a shard points beyond its chunks");
    return [Number(offset), Number(length)];
  });
}

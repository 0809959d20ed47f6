// One array of a store: from its zarr.json to its chunks.

import { demand } from "./damaged.js";
import { parseIndex, VALUE_SIZES } from "./chunks.js";
import { ReadableError } from "./transport.js";

const KNOWN_CODECS = ["transpose", "bytes", "blosc", "crc32c"];

function product(numbers) {
  return numbers.reduce((a, b) => a * b, 1);
}

/** An array; `sizes` are those of its files, by path, where they are known. */
export class StoreArray {
  constructor(files, decoder, path, node, sizes = new Map()) {
    this.files = files;
    this.decoder = decoder;
    this.path = path;
    this.sizes = sizes;
    this.shape = node.shape;
    this.type = node.data_type;
    const outer = node.chunk_grid.configuration.chunk_shape;
    const sharding = node.codecs[0].name === "sharding_indexed" ? node.codecs[0].configuration : null;
    this.shard = sharding ? outer : null;
    this.chunk = sharding ? sharding.chunk_shape : outer;
    const codecs = sharding ? sharding.codecs : node.codecs;
    const names = codecs.map((codec) => codec.name);
    if (!names.every((name) => KNOWN_CODECS.includes(name)) || names[names.length - 1] !== "crc32c" || !(this.type in VALUE_SIZES)) {
      throw new ReadableError(`${path} is encoded as ${names.join(", ")}`, "open it with stemzarr");
    }
    const order = codecs[0].name === "transpose" ? codecs[0].configuration.order : this.chunk.map((_, i) => i);
    this.spec = { codec: names.includes("blosc") ? "blosc" : "bytes", size: product(this.chunk) * VALUE_SIZES[this.type], type: this.type };
    this.strides = strideOf(this.chunk, order);
    this.indexes = new Map();
  }

  /** Returns the places of all chunks. */
  places() {
    const counts = this.shape.map((length, i) => Math.ceil(length / this.chunk[i]));
    return Array.from({ length: product(counts) }, (_, number) => {
      const place = [];
      for (let i = counts.length - 1; i >= 0; i--) {
        place.unshift(number % counts[i]);
        number = Math.floor(number / counts[i]);
      }
      return place;
    });
  }

  /** Returns the stored bytes of the chunk at a place of the grid. */
  async stored(place, signal) {
    if (!this.shard) return this.files.whole(`${this.path}/c/${place.join("/")}`, signal);
    const ratio = this.shard.map((length, i) => length / this.chunk[i]);
    const key = `${this.path}/c/${place.map((p, i) => Math.floor(p / ratio[i])).join("/")}`;
    const number = place.reduce((total, p, i) => total * ratio[i] + (p % ratio[i]), 0);
    if (!this.indexes.has(key)) this.indexes.set(key, this.index(key, product(ratio)));
    let index;
    try {
      index = await this.indexes.get(key);
    } catch (error) {
      this.indexes.delete(key); // it may be there at the next try
      throw error;
    }
    demand(index[number], "the chunk is missing from its shard");
    const [start, length] = index[number];
    return this.files.part(key, start, start + length, signal);
  }

  async index(key, count) {
    const size = this.sizes.get(key), length = 16 * count + 4;
    demand(size >= length, `the store says nothing of its file ${key}, or that it is too short`);
    return parseIndex(await this.files.part(key, size - length, size), count, size);
  }

  /** Returns the values of a chunk, or sums of its `count` patterns under a mask; errors name it. */
  async values(place, signal = null, mask = null, count = 0) {
    try {
      return await this.decoder.decode(await this.stored(place, signal), this.spec, mask, count);
    } catch (error) {
      if (error.name !== "DamagedError") throw error;
      const box = place.map((p, i) => `${p * this.chunk[i]}:${Math.min(this.shape[i], (p + 1) * this.chunk[i])}`);
      throw new ReadableError(`chunk ${place.join("/")} of ${this.path}, values [${box.join(", ")}], is damaged: ${error.message}`);
    }
  }

  /** Returns all values of a small array, flat, the last dim fastest. */
  async read(signal = null) {
    const strides = strideOf(this.shape, this.shape.map((_, i) => i));
    let all = null;
    for (const place of this.places()) {
      const values = await this.values(place, signal);
      if (!all) all = new values.constructor(product(this.shape));
      const start = place.map((p, i) => p * this.chunk[i]);
      const lengths = start.map((first, i) => Math.min(this.chunk[i], this.shape[i] - first));
      copyBox(values, this.strides, all, strides, start, lengths);
    }
    return all || new Float64Array(0);
  }
}

/** Returns how far apart neighbours are along each dim, where dims are stored in an order. */
function strideOf(shape, order) {
  const strides = [];
  let step = 1;
  for (let i = order.length - 1; i >= 0; i--) {
    strides[order[i]] = step;
    step *= shape[order[i]];
  }
  return strides;
}

function copyBox(from, fromStrides, to, toStrides, start, lengths, dim = 0, source = 0, target = 0) {
  const place = target + start[dim] * toStrides[dim];
  for (let i = 0; i < lengths[dim]; i++) {
    const a = source + i * fromStrides[dim], b = place + i * toStrides[dim];
    if (dim + 1 < lengths.length) copyBox(from, fromStrides, to, toStrides, start, lengths, dim + 1, a, b);
    else to[b] = from[a];
  }
}

// A store that the page reads itself: the same questions as to the server, answered from its files.

import { Decoder } from "./decoder.js";
import { formatDetectors, maskOf, parseDetectors } from "./detectors.js";
import { StoreArray } from "./store_array.js";
import { ReadableError, toPlane } from "./transport.js";

const SAFE_SLUG = /^[a-z0-9]+(?:[_-][a-z0-9]+)*$/;
const NO_FACTS = /^(title|kind|complete|stemzarr_schema|survey_document|scan_rect_.*)$/;
const EDGES = ["top", "left", "bottom", "right"];
const STORED_IMAGES = ["bright_field", "annular_dark_field", "total_intensity"];
const KEPT_CHUNKS = 8;
const AT_ONCE = 6;
const CURVE_KINDS = ["spectrum", "profile", "spectrum-image"];
const STORE_TILE_BYTES = 64 * 1024 ** 2, FEWEST_TILES = 64;

/** Reads a store through `files`. */
export class StoreTransport {
  constructor(files, slug, decoder = new Decoder()) {
    this.files = files;
    this.slug = slug;
    this.decoder = decoder;
    this.chunks = new Map();
    this.unaskedBytes = 64 * 1024 ** 2;
  }

  async describe() {
    const root = parseJson(await this.files.whole("zarr.json"), "zarr.json");
    this.nodes = root.consolidated_metadata && root.consolidated_metadata.metadata;
    if (!this.nodes || !root.attributes || root.attributes.stemzarr_schema === undefined || !this.nodes.source) {
      throw new ReadableError(`${this.files.name} is not a store of stemzarr`, "make one: stemzarr ingest FILE");
    }
    if (root.attributes.stemzarr_schema !== 1) throw new ReadableError("the store is of a later version", "use a later stemzarr");
    const record = this.nodes.source.attributes;
    if (record.virtual) throw new ReadableError("the store is virtual: its pixels are in another file", "stemzarr explore reads it");
    const items = record.documents.filter((item) => SAFE_SLUG.test(item.slug));
    const main = items.find((item) => item.index === record.main);
    const chosen = items.find((item) => item.slug === this.slug) || main;
    const isMain = chosen === main;
    this.prefix = isMain ? "" : `documents/${chosen.slug}/`;
    this.stored = isMain ? "" : `${chosen.slug}_`;
    const attributesOf = (item) => (item === main ? root : this.nodes[`documents/${item.slug}`]).attributes;
    const attributes = attributesOf(chosen);
    const [sizes, mask] = await Promise.all([this.readSizes(), this.readBad()]);
    this.values = new StoreArray(this.files, this.decoder, `${this.prefix}intensity`, this.nodes[`${this.prefix}intensity`], sizes);
    const node = this.nodes[`${this.prefix}intensity`];
    const dims = node.dimension_names.map((name) => name.slice(this.stored.length));
    const axes = dims.filter((dim) => dim !== "channel").map((dim, i) => this.axis(dim, this.values.shape[i]));
    this.preview = this.nodes[`${this.prefix}preview`];
    this.about = {
      name: this.files.name.replace(/\.zarr$/, ""), title: String(attributes.title), kind: String(attributes.kind),
      document: chosen.slug, main: isMain, dims, shape: this.values.shape, dtype: this.values.type, axes,
      nbytes: [...sizes].reduce((sum, [path, size]) => sum + (path.startsWith(`${this.prefix}intensity/`) ? size : 0), 0),
      documents: items.filter((item) => !item.thumbnail || item === chosen)
        .map((item) => ({ slug: item.slug, title: String(attributesOf(item).title), kind: String(attributesOf(item).kind) })),
      channels: node.attributes.channel_names || [], notes: [...record.notes, ...chosen.notes].map(String), path: this.files.name,
      facts: Object.fromEntries(Object.entries(attributes).filter(([name, value]) => !NO_FACTS.test(name) && typeof value !== "object")),
      complete: attributes.complete !== 0, presets: {}, bad_pixels: 0,
    };
    this.about.frames = items.map((item) => attributesOf(item)).filter((each) => each.survey_document === chosen.slug)
      .map((each) => EDGES.map((edge) => each[`scan_rect_${edge}`])).filter((frame) => frame.every(Number.isFinite));
    this.about.instant = STORED_IMAGES.filter((name) => this.nodes[`${this.prefix}preview/${name}`]);
    this.isScan = this.about.kind === "4d-stem" && !this.values.type.startsWith("complex");
    if (this.isScan) {
      this.about.presets = this.presets(axes[2], axes[3]);
      this.mask = mask;
      this.about.bad_pixels = this.mask ? this.mask.reduce((a, b) => a + b, 0) : 0;
    }
    return this.about;
  }

  array(path, sizes = new Map()) {
    return new StoreArray(this.files, this.decoder, path, this.nodes[path], sizes);
  }

  /** Returns the sizes of all files, as the manifest has them. */
  async readSizes() {
    if (!this.nodes["source/manifest"]) return new Map();
    const text = await this.array("source/manifest").read();
    return new Map(Object.entries(parseJson(text, "source/manifest").files).map(([path, [size]]) => [path, size]));
  }

  axis(dim, size) {
    const { scale, offset, units, calibrated, long_name: longName } = this.nodes[`${this.prefix}${this.stored}${dim}`].attributes;
    return { name: dim, size, scale, offset, units: String(units), calibrated: Boolean(calibrated), long_name: String(longName) };
  }

  presets(yAxis, xAxis) {
    const disk = (this.preview && this.preview.attributes.disk) || {
      center_y: (yAxis.size - 1) / 2, center_x: (xAxis.size - 1) / 2, radius: yAxis.size / 16, annulus_inner: yAxis.size / 10,
    };
    const scale = Math.sqrt(Math.abs(yAxis.scale * xAxis.scale));
    const center = [yAxis.offset + disk.center_y * yAxis.scale, xAxis.offset + disk.center_x * xAxis.scale];
    // The pixels up to the radius belong to the disk, and less than the outer radius to a ring.
    const [radius, inner] = [disk.radius, disk.annulus_inner].map((length) => length * scale * (1 + Number.EPSILON));
    const ring = (first, last) => formatDetectors([{ sign: 1, shape: "ring", numbers: [...center, first, last] }]);
    return { bright_field: ring(0, radius), annular_dark_field: ring(inner, Infinity), total_intensity: ring(0, Infinity) };
  }

  async readBad() {
    const paths = [`${this.prefix}bad_pixels`, `${this.prefix}preview/bad_pixels`].filter((path) => this.nodes[path]);
    const masks = await Promise.all(paths.map((path) => this.array(path).read()));
    this.excluded = this.nodes[`${this.prefix}bad_pixels`] ? masks[0] : null;
    return masks.length ? masks[0].map((_, i) => masks.some((mask) => mask[i])) : null;
  }

  async bad() {
    const [height, width] = this.values.shape.slice(-2);
    return toPlane(this.mask || new Uint8Array(height * width), [height, width]);
  }

  /** Returns the values of a chunk, those of the last few without reading them again. */
  kept(place, signal) {
    const key = place.join("/");
    let values = this.chunks.get(key);
    if (!values) {
      values = this.values.values(place, signal);
      values.catch(() => this.chunks.delete(key)); // it may be there at the next try
      this.chunks.set(key, values);
      if (this.chunks.size > KEPT_CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
    }
    return values;
  }

  async pattern(y, x, signal = null) {
    const [rows, columns, height, width] = this.values.chunk;
    const place = [Math.floor(y / rows), Math.floor(x / columns), 0, 0];
    const values = await this.kept(place, signal);
    this.readAhead(place);
    const start = ((y % rows) * columns + (x % columns)) * height * width;
    return toPlane(values.slice(start, start + height * width), [height, width]);
  }

  /** Reads the chunk that comes next where the last two were neighbours: whoever walks goes on. */
  readAhead(place) {
    const [dy, dx] = this.last ? place.map((p, i) => p - this.last[i]) : [0, 0];
    this.last = place;
    if (Math.abs(dy) + Math.abs(dx) !== 1) return;
    const next = [place[0] + dy, place[1] + dx, 0, 0];
    const inside = next.every((p, i) => p >= 0 && p * this.values.chunk[i] < this.values.shape[i]);
    if (inside) this.kept(next, null).catch(() => {}); // what is damaged is named where it is looked at
  }

  async mean([top, left, bottom, right], signal = null) {
    let total = null, shape = null;
    const [rows, columns] = this.values.chunk;
    // Chunk by chunk, so that none is read twice.
    for (let y0 = top - (top % rows); y0 < bottom; y0 += rows) {
      for (let x0 = left - (left % columns); x0 < right; x0 += columns) {
        for (let y = Math.max(top, y0); y < Math.min(bottom, y0 + rows); y++) {
          for (let x = Math.max(left, x0); x < Math.min(right, x0 + columns); x++) {
            const { values, height, width } = await this.pattern(y, x, signal);
            if (!total) [total, shape] = [new Float64Array(values.length), [height, width]];
            for (let i = 0; i < values.length; i++) total[i] += values[i];
          }
        }
      }
    }
    return toPlane(total.map((sum) => sum / ((bottom - top) * (right - left))), shape);
  }

  /** Returns the exact image of detectors: a preview where it is that, else from all chunks. */
  async image(text, signal, progress) {
    const [rows, columns] = this.values.shape;
    const preset = Object.entries(this.about.presets).find(([, known]) => known === text);
    const path = preset && `${this.prefix}preview/${preset[0]}`;
    if (path && this.nodes[path]) return toPlane(await this.array(path).read(signal), [rows, columns]);
    const mask = this.signedMask(parseDetectors(text));
    const image = new Float64Array(rows * columns);
    const places = this.values.places();
    const [chunkRows, chunkColumns] = this.values.chunk;
    let next = 0, done = 0;
    const work = async () => {
      while (next < places.length) {
        const place = places[next++];
        const sums = await this.values.values(place, signal, mask, chunkRows * chunkColumns);
        if (signal && signal.aborted) throw new DOMException("stopped", "AbortError");
        sums.forEach((sum, i) => {
          const y = place[0] * chunkRows + Math.floor(i / chunkColumns), x = place[1] * chunkColumns + (i % chunkColumns);
          if (y < rows && x < columns) image[y * columns + x] = sum;
        });
        progress(++done / places.length);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return toPlane(image, [rows, columns]);
  }

  signedMask(detectors) {
    const axes = this.about.axes.slice(2);
    const total = new Int8Array(axes[0].size * axes[1].size);
    for (const detector of detectors) maskOf(detector, ...axes).forEach((inside, i) => { if (inside) total[i] += detector.sign; });
    const pixels = [], signs = [];
    total.forEach((sign, i) => {
      if (!sign || (this.excluded && this.excluded[i])) return;
      pixels.push(i);
      signs.push(sign);
    });
    if (!pixels.length) throw new ReadableError("the detectors hold no pixel", "move or enlarge them");
    return { pixels: Uint32Array.from(pixels), signs: Int8Array.from(signs) };
  }

  /** Returns the shifts of the centre of mass as the store keeps them, in the units of the detector. */
  async centerOfMass(signal) {
    const found = {};
    for (const [name, axis] of [["com_y", this.about.axes[2]], ["com_x", this.about.axes[3]]]) {
      const path = `${this.prefix}preview/${name}`;
      if (!this.nodes[path]) throw new ReadableError("the store keeps no centre of mass", "ingest the scan again");
      const values = await this.array(path).read(signal);
      found[name] = toPlane(Float64Array.from(values, (shift) => shift * axis.scale), this.values.shape.slice(0, 2));
    }
    return found;
  }

  /** Returns the tile sums that the store keeps, joined until they are 64 MB at most; null without. */
  async tiles() {
    const path = `${this.prefix}preview/tile_sums`;
    if (!this.nodes[path]) return null;
    const array = this.array(path);
    const [rows, columns, tilesY, tilesX] = array.shape;
    const counts = (join, step) => [Math.ceil(tilesY / join), Math.ceil(tilesX / join), Math.ceil(rows / step), Math.ceil(columns / step)];
    const bytes = (join, step) => 4 * counts(join, step).reduce((a, b) => a * b, 1);
    let join = 1, step = 1;
    while (bytes(join, step) > STORE_TILE_BYTES) {
      const [down, across] = counts(2 * join, 1);
      if (down * across >= FEWEST_TILES) join *= 2; else step *= 2;
    }
    const [down, across, height, width] = counts(join, step);
    const sums = new Float32Array(down * across * height * width);
    for (const place of array.places()) {
      const values = await array.values(place);
      const start = place.map((p, i) => p * array.chunk[i]);
      const ends = start.map((first, i) => Math.min(array.shape[i], first + array.chunk[i]));
      for (let i = start[2]; i < ends[2]; i++) {
        for (let j = start[3]; j < ends[3]; j++) {
          const tile = (Math.floor(i / join) * across + Math.floor(j / join)) * height * width;
          const from = (i - start[2]) * array.strides[2] + (j - start[3]) * array.strides[3];
          for (let y = Math.ceil(start[0] / step) * step; y < ends[0]; y += step) {
            const row = from + (y - start[0]) * array.strides[0], to = tile + (y / step) * width;
            for (let x = Math.ceil(start[1] / step) * step; x < ends[1]; x += step) {
              sums[to + x / step] += values[row + (x - start[1]) * array.strides[1]];
            }
          }
        }
      }
    }
    return { sums, down, across, height, width, tile: this.nodes[path].attributes.tile_side * join, step, whole: true };
  }

  async plane(index, signal = null) {
    const own = (CURVE_KINDS.includes(this.about.kind) ? 1 : Math.min(2, this.about.axes.length)) + (this.about.channels.length ? 1 : 0);
    const { shape, chunk, strides } = this.values;
    const lead = shape.slice(0, shape.length - own), at = [];
    for (let i = lead.length - 1, rest = index; i >= 0; i--) {
      at.unshift(rest % lead[i]);
      rest = Math.floor(rest / lead[i]);
    }
    const inner = shape.slice(lead.length);
    const ready = inner.every((length, i) => chunk[lead.length + i] === length);
    if (!ready) throw new ReadableError("its planes are split over chunks", "open it with stemzarr explore");
    const place = [...at.map((p, i) => Math.floor(p / chunk[i])), ...inner.map(() => 0)];
    const values = await this.kept(place, signal);
    const start = at.reduce((sum, p, i) => sum + (p % chunk[i]) * strides[i], 0);
    return toPlane(values.slice(start, start + inner.reduce((a, b) => a * b, 1)), inner);
  }

  async totals(signal = null) {
    const [rows, columns, energies] = this.values.shape;
    const totals = new Float64Array(rows * columns);
    for (let i = 0; i < totals.length; i++) {
      const { values } = await this.plane(i, signal);
      for (let e = 0; e < energies; e++) totals[i] += Math.abs(values[e]);
    }
    return toPlane(totals, [rows, columns]);
  }
}

function parseJson(bytes, path) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new ReadableError(`${path} is damaged`, "stemzarr verify says what is");
  }
}

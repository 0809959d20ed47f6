// The image of detectors from tile sums: what is drawn while a detector is dragged.

import { tileWeights } from "./detectors.js";

/** Makes images of one set of tile sums; the next image is made of what has changed since the last. */
export class TileImages {
  /** `tiles` has sums (tile_y, tile_x, scan_y, scan_x), the side of a tile, and the step of positions. */
  constructor(tiles, yAxis, xAxis) {
    this.tiles = tiles;
    this.axes = [yAxis, xAxis];
    this.positions = tiles.height * tiles.width;
    this.used = new Float64Array(tiles.down * tiles.across);
    this.image = new Float64Array(this.positions);
  }

  /** Returns the image of detectors; tiles on their rims count by the share that is covered. */
  make(detectors) {
    const weights = tileWeights(detectors, this.tiles.tile, ...this.axes);
    let changed = 0, kept = 0;
    weights.forEach((weight, i) => { if (weight !== this.used[i]) changed++; if (weight) kept++; });
    if (changed > kept) {
      // To begin again is less work, and forgets what was rounded.
      this.image.fill(0);
      this.used.fill(0);
    }
    weights.forEach((weight, i) => {
      const difference = weight - this.used[i];
      if (difference) this.add(i, difference);
    });
    this.used = weights;
    const { height, width, step } = this.tiles;
    return { values: this.image.slice(), height, width, step };
  }

  /** Returns how much every pattern resembles that of a position: Pearson's correlation of tile sums. */
  likeness(y, x) {
    const { sums, height, width, step } = this.tiles;
    const positions = this.positions, count = sums.length / positions;
    const here = Math.floor(y / step) * width + Math.floor(x / step);
    if (!this.lengths) this.measure(count);
    const [mean, length] = [this.means[here], this.lengths[here]];
    const values = new Float64Array(positions);
    for (let t = 0; t < count; t++) {
      const start = t * positions, centered = sums[start + here] - mean;
      for (let p = 0; p < positions; p++) values[p] += centered * sums[start + p];
    }
    for (let p = 0; p < positions; p++) values[p] /= this.lengths[p] * length || NaN;
    return { values, height, width, step };
  }

  /** Finds mean and length of the tile sums of every position, once. */
  measure(count) {
    const sums = this.tiles.sums, positions = this.positions;
    this.means = new Float64Array(positions);
    this.lengths = new Float64Array(positions);
    for (let t = 0; t < count; t++) {
      for (let p = 0, at = t * positions; p < positions; p++, at++) this.means[p] += sums[at] / count;
    }
    for (let t = 0; t < count; t++) {
      for (let p = 0, at = t * positions; p < positions; p++, at++) this.lengths[p] += (sums[at] - this.means[p]) ** 2;
    }
    this.lengths.forEach((square, p) => { this.lengths[p] = Math.sqrt(square); });
  }

  add(number, weight) {
    const sums = this.tiles.sums, image = this.image, start = number * this.positions;
    for (let i = 0; i < this.positions; i++) image[i] += weight * sums[start + i];
  }
}

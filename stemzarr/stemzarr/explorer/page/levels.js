// From values to colours: which values are black and white, and what is between them.

import { colourTable } from "./colours.js";

const SHADES = 16384;
const SAMPLED = 1 << 12;
const STRONGEST = 1024, WEAKEST = 8;
const BINS = 128;

/** What a panel shows by default. `low` and `high` are null where percentiles decide. */
export function defaultDisplay(map, scale) {
  return { map, scale, gamma: 0.5, low: null, high: null };
}

/** Returns a share of full brightness, 0 to 1, as its scale stretches it. */
export function stretch(share, display, strength) {
  if (display.scale === "log") return Math.log1p(strength * share) / Math.log1p(strength);
  return display.scale === "gamma" ? share ** display.gamma : share;
}

/** Returns the share that is stretched to a given one. */
export function unstretch(shown, display, strength) {
  if (display.scale === "log") return Math.expm1(shown * Math.log1p(strength)) / strength;
  return display.scale === "gamma" ? shown ** (1 / display.gamma) : shown;
}

/** Returns the strength of the log scale: of counts it is about log(1 + counts), as far as that helps.
 * It is a power of two, so that the colours of neighbouring patterns are the same table. */
function strengthOf(values, low, high) {
  const counts = !(values instanceof Float32Array || values instanceof Float64Array);
  return counts ? Math.min(STRONGEST, Math.max(WEAKEST, 2 ** Math.round(Math.log2(high - low)))) : STRONGEST;
}

/** Returns the finite values of a plane, every n-th where there are many, sorted. */
export function sortedSample(values) {
  const step = Math.max(1, Math.floor(values.length / SAMPLED));
  const sample = new Float64Array(Math.ceil(values.length / step));
  let count = 0;
  for (let i = 0; i < values.length; i += step) {
    if (Number.isFinite(values[i])) sample[count++] = values[i];
  }
  return sample.subarray(0, count).sort();
}

/** Returns the least and the largest finite value. */
export function rangeOf(values) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value < low && value > -Infinity) low = value;
    if (value > high && value < Infinity) high = value;
  }
  return low <= high ? [low, high] : [0, 0];
}

/** Returns [low, high, strength]: the values that are drawn darkest and brightest, as set or else by
 * percentiles, and how strong the log scale is. */
export function levelsOf(values, display, percentiles) {
  let low = display.low, high = display.high;
  if (low === null || high === null) {
    const sample = sortedSample(values);
    const at = (percent) => sample[Math.min(sample.length - 1, Math.floor((percent / 100) * sample.length))];
    const [least, largest] = sample.length ? [at(percentiles[0]), at(percentiles[1])] : [0, 1];
    const [bottom, top] = largest > least ? [least, largest] : rangeOf(values);
    low = low === null ? bottom : low;
    high = high === null ? top : high;
  }
  if (!(high > low)) high = low + 1;
  return [low, high, strengthOf(values, low, high)];
}

/** Returns a function that paints values into a Uint32Array of pixels. */
export function makePainter() {
  let table = null, key = "";
  return (values, pixels, [low, high, strength], display) => {
    const wanted = `${display.map} ${display.scale} ${display.gamma} ${strength}`;
    if (wanted !== key) {
      const even = colourTable(display.map, SHADES);
      table = even.map((_, i) => even[Math.round(stretch(i / (SHADES - 1), display, strength) * (SHADES - 1))]);
      key = wanted;
    }
    const factor = (SHADES - 1) / (high - low);
    for (let i = 0; i < values.length; i++) {
      const shade = (values[i] - low) * factor;
      pixels[i] = table[shade > 0 ? (shade < SHADES - 1 ? shade | 0 : SHADES - 1) : 0];
    }
  };
}

/** Returns how often values occur between two ends, in steps that look even in the picture. */
export function histogramOf(values, [low, high, strength], display) {
  const edges = Float64Array.from({ length: BINS + 1 }, (_, i) => low + unstretch(i / BINS, display, strength) * (high - low));
  const counts = new Float64Array(BINS);
  const sample = sortedSample(values);
  let bin = 0;
  for (const value of sample) {
    if (value < low || value > high) continue;
    while (bin < BINS - 1 && value >= edges[bin + 1]) bin++;
    counts[bin]++;
  }
  return counts;
}

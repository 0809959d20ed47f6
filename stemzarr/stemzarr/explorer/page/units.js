// Numbers, lengths and calibrated axes as people read them.

/** Returns a number with that many significant digits and no trailing zeros. */
export function formatNumber(value, digits = 4) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "not a number";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return String(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(digits - 1).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(digits)));
}

/** Returns the position of pixel `index` of an axis, in its units. */
export function positionOf(axis, index) {
  return axis.offset + index * axis.scale;
}

/** Returns the pixel, with its fraction, at a position of an axis. */
export function pixelOf(axis, position) {
  return (position - axis.offset) / axis.scale;
}

/** Returns the largest length of 1, 2 or 5 times a power of ten that is at most `length`. */
export function niceLength(length) {
  if (!(length > 0) || !Number.isFinite(length)) return 0;
  const power = 10 ** Math.floor(Math.log10(length));
  for (const step of [5, 2, 1]) if (step * power <= length * (1 + 1e-12)) return step * power;
  return power;
}

/** Returns a length with its units; of a pixel in words. */
export function formatLength(value, units, digits = 4) {
  if (units === "pixel") return `${formatNumber(value, digits)} px`;
  return `${formatNumber(value, digits)} ${units}`;
}

/** Returns how tall a pixel is to be drawn for one pixel of width: as calibrated, else square. */
export function aspectOf(yAxis, xAxis) {
  if (!yAxis || !xAxis || yAxis.units !== xAxis.units) return 1;
  const ratio = Math.abs(yAxis.scale / xAxis.scale);
  return ratio > 0.05 && ratio < 20 ? ratio : 1;
}

/** Returns a size in bytes as people read it. */
export function formatBytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  const power = bytes > 0 ? Math.min(5, Math.floor(Math.log10(bytes) / 3)) : 0;
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

// TIFF files of one plane of float32 values, with the length of a pixel as ImageJ reads it.

const MICRO = "\u00b5";

/** Returns a TIFF with the values of a plane; `xAxis` and `yAxis` calibrate it. */
export function encodeTiff(plane, yAxis, xAxis) {
  const { values, width, height } = plane;
  const unit = (xAxis && xAxis.calibrated ? xAxis.units : "pixel").replace(/[\u00b5\u03bc]/g, MICRO);
  const text = new TextEncoder().encode(`ImageJ=1.11a\nimages=1\nunit=${unit.replace(MICRO, "u")}\n\0`);
  const entries = 12, ifd = 8, rationals = ifd + 2 + entries * 12 + 4;
  const start = (rationals + 16 + text.length + 7) & ~7;
  const bytes = new ArrayBuffer(start + 4 * values.length);
  const view = new DataView(bytes);
  view.setUint32(0, 0x49492a00);
  view.setUint32(4, ifd, true);
  view.setUint16(ifd, entries, true);
  const size = 4 * values.length;
  const fields = [
    [256, 4, 1, width], [257, 4, 1, height], [258, 3, 1, 32], [259, 3, 1, 1], [262, 3, 1, 1],
    [270, 2, text.length, rationals + 16], [273, 4, 1, start], [278, 4, 1, height], [279, 4, 1, size],
    [282, 5, 1, rationals], [283, 5, 1, rationals + 8], [339, 3, 1, 3],
  ];
  fields.forEach(([tag, type, count, value], i) => {
    const at = ifd + 2 + 12 * i;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, type, true);
    view.setUint32(at + 4, count, true);
    if (type === 3) view.setUint16(at + 8, value, true); else view.setUint32(at + 8, value, true);
  });
  [xAxis, yAxis].forEach((axis, i) => {
    const [top, bottom] = pixelsPerUnit(axis);
    view.setUint32(rationals + 8 * i, top, true);
    view.setUint32(rationals + 8 * i + 4, bottom, true);
  });
  new Uint8Array(bytes, rationals + 16, text.length).set(text);
  new Float32Array(bytes, start, values.length).set(values);
  return bytes;
}

function pixelsPerUnit(axis) {
  const density = axis && axis.calibrated ? 1 / Math.abs(axis.scale) : 1;
  const bottom = density >= 1e6 ? 1 : density >= 1 ? 1000 : 1000000000;
  return [Math.max(1, Math.min(0xffffffff, Math.round(density * bottom))), bottom];
}

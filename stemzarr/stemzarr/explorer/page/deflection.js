// Deflection in colours: where the beam goes is the hue, how far the brightness.

import { sortedSample } from "./levels.js";

const TURN = 2 * Math.PI;
/** Of all shifts, those above this share are drawn as brightly as it. */
const BRIGHTEST = 0.99;

/** Returns the colour of a direction at a brightness of 0 to 1, as [red, green, blue] up to 255. */
export function directionColour(angle, share) {
  return [0, 1, 2].map((k) => 255 * share * (0.5 + 0.5 * Math.cos(angle - (TURN * k) / 3)));
}

/** Returns {plane, top}: shifts less their mean as colours, and the shift that is drawn brightest. */
export function colourShifts({ com_y: y, com_x: x }) {
  const { height, width } = y, count = y.values.length;
  const [my, mx] = [y.values, x.values].map(meanOf);
  const sizes = Float64Array.from(y.values, (shift, i) => Math.hypot(shift - my, x.values[i] - mx));
  const ordered = sortedSample(sizes);
  const top = ordered.length ? ordered[Math.min(ordered.length - 1, Math.floor(BRIGHTEST * ordered.length))] : 0;
  const values = new Uint8Array(3 * count);
  sizes.forEach((size, i) => {
    if (!Number.isFinite(size)) return;
    const colour = directionColour(Math.atan2(y.values[i] - my, x.values[i] - mx), top ? Math.min(1, size / top) : 0);
    for (let k = 0; k < 3; k++) values[3 * i + k] = Math.round(colour[k]);
  });
  return { plane: { values, height, width, channels: 3, sizes }, top };
}

function meanOf(values) {
  let sum = 0, count = 0;
  for (const value of values) if (Number.isFinite(value)) { sum += value; count++; }
  return count ? sum / count : 0;
}

/** Draws the wheel that tells directions, in the upper right corner of a picture. */
export function drawWheel(context, right, top, ratio) {
  const radius = Math.round(30 * ratio), size = 2 * radius + 1;
  const image = new ImageData(size, size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const distance = Math.hypot(i - radius, j - radius) / radius;
      if (distance > 1) continue;
      const colour = directionColour(Math.atan2(i - radius, j - radius), distance);
      colour.forEach((value, k) => { image.data[4 * (i * size + j) + k] = value; });
      image.data[4 * (i * size + j) + 3] = 255;
    }
  }
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(image, 0, 0);
  const left = right - size - 10 * ratio, above = top + 10 * ratio;
  context.save();
  context.drawImage(canvas, left, above);
  context.beginPath();
  context.arc(left + radius + 0.5, above + radius + 0.5, radius, 0, TURN);
  context.strokeStyle = "#fff";
  context.lineWidth = 1.5 * ratio;
  context.stroke();
  context.restore();
}

// Virtual detectors: as the address writes them, as they are drawn and dragged, as they weigh tiles.
// Numbers are in the units of the detector axes: of a ring center_y, center_x, inner, outer, of a
// rectangle top, left, bottom, right.

import { pixelOf, positionOf } from "./units.js";

const DETECTOR_FORM = /^([+-])(ring|rect):([^,]+),([^,]+),([^,]+),([^,]+)$/;
const GRAB = 9;

/** Returns the detectors that a text describes; none where one of them is wrong. */
export function parseDetectors(text) {
  const parsed = text.split(";").map((part) => {
    const match = DETECTOR_FORM.exec(part);
    const numbers = match ? match.slice(3).map((word) => (word === "inf" ? Infinity : Number(word))) : [];
    const fits = match && numbers.slice(0, 3).every(Number.isFinite) && !Number.isNaN(numbers[3]);
    return fits ? { sign: match[1] === "+" ? 1 : -1, shape: match[2], numbers } : null;
  });
  return parsed.every(Boolean) ? parsed : [];
}

/** Returns detectors as the address and the server write them. */
export function formatDetectors(detectors) {
  const word = (number) => (number === Infinity ? "inf" : String(number));
  return detectors.map((each) => `${each.sign > 0 ? "+" : "-"}${each.shape}:${each.numbers.map(word).join(",")}`).join(";");
}

/** Returns the mean length of a pixel of two axes. */
export function pixelSize(yAxis, xAxis) {
  return Math.sqrt(Math.abs(yAxis.scale * xAxis.scale));
}

/** Returns a detector in detector pixels: where it is drawn. Pixel i reaches from i to i + 1. */
export function outline(detector, yAxis, xAxis) {
  const [first, second, third, fourth] = detector.numbers;
  const y = pixelOf(yAxis, first) + 0.5, x = pixelOf(xAxis, second) + 0.5;
  if (detector.shape === "rect") return { y0: y, x0: x, y1: pixelOf(yAxis, third) + 0.5, x1: pixelOf(xAxis, fourth) + 0.5 };
  const sy = Math.abs(yAxis.scale), sx = Math.abs(xAxis.scale);
  return { y, x, innerY: third / sy, innerX: third / sx, outerY: fourth / sy, outerX: fourth / sx };
}

/** Returns the points by which a detector is grabbed, as {name, y, x} in detector pixels. */
export function handles(detector, yAxis, xAxis) {
  const drawn = outline(detector, yAxis, xAxis);
  if (detector.shape === "rect") {
    const { y0, x0, y1, x1 } = drawn;
    return [
      { name: "center", y: (y0 + y1) / 2, x: (x0 + x1) / 2 },
      { name: "top left", y: y0, x: x0 }, { name: "bottom right", y: y1, x: x1 },
      { name: "top right", y: y0, x: x1 }, { name: "bottom left", y: y1, x: x0 },
    ];
  }
  const points = [{ name: "center", y: drawn.y, x: drawn.x }];
  if (Number.isFinite(drawn.outerX)) points.push({ name: "outer", y: drawn.y, x: drawn.x + drawn.outerX });
  if (drawn.innerX > 0) points.push({ name: "inner", y: drawn.y, x: drawn.x - drawn.innerX });
  return points;
}

/** Returns {number, name} of the handle, or of the rim of a ring, near a point; null where none is. */
export function grab(detectors, point, zoom, yAxis, xAxis) {
  const reach = GRAB / zoom;
  let best = null, nearest = reach;
  detectors.forEach((detector, number) => {
    for (const handle of handles(detector, yAxis, xAxis)) {
      const distance = Math.hypot(handle.y - point.y, handle.x - point.x);
      if (distance < nearest) { nearest = distance; best = { number, name: handle.name }; }
    }
  });
  if (best) return best;
  detectors.forEach((detector, number) => {
    if (detector.shape !== "ring") return;
    const drawn = outline(detector, yAxis, xAxis);
    const distance = Math.hypot(point.y - drawn.y, (point.x - drawn.x) * (drawn.outerY / drawn.outerX || 1));
    for (const name of ["outer", "inner"]) {
      const radius = name === "outer" ? drawn.outerY : drawn.innerY;
      if (radius > 0 && Math.abs(distance - radius) < nearest) {
        nearest = Math.abs(distance - radius);
        best = { number, name };
      }
    }
  });
  return best;
}

/** Returns a detector after its grabbed handle was dragged from one point to another. */
export function dragged(detector, name, from, to, yAxis, xAxis) {
  const numbers = [...detector.numbers];
  const dy = (to.y - from.y) * yAxis.scale, dx = (to.x - from.x) * xAxis.scale;
  const least = pixelSize(yAxis, xAxis) / 2;
  if (name === "center") {
    numbers[0] += dy; numbers[1] += dx;
    if (detector.shape === "rect") { numbers[2] += dy; numbers[3] += dx; }
  } else if (detector.shape === "rect") {
    if (name.startsWith("top")) numbers[0] += dy; else numbers[2] += dy;
    if (name.endsWith("left")) numbers[1] += dx; else numbers[3] += dx;
  } else {
    const radius = Math.hypot(positionOf(yAxis, to.y - 0.5) - numbers[0], positionOf(xAxis, to.x - 0.5) - numbers[1]);
    if (name === "outer") numbers[3] = Math.max(radius, numbers[2] + least);
    else numbers[2] = Math.max(0, Math.min(radius, numbers[3] - least));
  }
  return { ...detector, numbers: numbers.map(rounded) };
}

/** Returns a number with nine digits: more would only fill the address. */
export function rounded(number) {
  return Number.isFinite(number) ? Number(number.toPrecision(9)) : number;
}

/** Returns a rectangle whose first corner is the upper left one; a ring as it is. */
export function ordered(detector, yAxis, xAxis) {
  if (detector.shape !== "rect") return detector;
  const [a, b, c, d] = detector.numbers;
  const least = [Math.abs(yAxis.scale), Math.abs(xAxis.scale)];
  const top = Math.min(a, c), left = Math.min(b, d);
  const numbers = [top, left, Math.max(a, c, top + least[0]), Math.max(b, d, left + least[1])];
  return { ...detector, numbers: numbers.map(rounded) };
}

/** Returns whether pixels belong to a detector: their centres decide. Shape (det_y, det_x). */
export function maskOf(detector, yAxis, xAxis) {
  const mask = new Uint8Array(yAxis.size * xAxis.size);
  const [first, second, third, fourth] = detector.numbers;
  const ring = detector.shape === "ring";
  const inner = third * third, outer = fourth * fourth;
  for (let i = 0; i < yAxis.size; i++) {
    const y = positionOf(yAxis, i), dy = y - first;
    if (!ring && !(y >= first && y < third)) continue;
    if (ring && dy * dy >= outer) continue;
    for (let j = 0; j < xAxis.size; j++) {
      const x = positionOf(xAxis, j), dx = x - second;
      const square = dy * dy + dx * dx;
      mask[i * xAxis.size + j] = ring ? square >= inner && square < outer : x >= second && x < fourth;
    }
  }
  return mask;
}

/** Returns the share of every tile that detectors cover, with their signs, shape (tile_y, tile_x). */
export function tileWeights(detectors, tile, yAxis, xAxis) {
  const down = Math.ceil(yAxis.size / tile), across = Math.ceil(xAxis.size / tile);
  const weights = new Float64Array(down * across);
  for (const detector of detectors) {
    const mask = maskOf(detector, yAxis, xAxis);
    for (let i = 0; i < yAxis.size; i++) {
      const row = Math.floor(i / tile) * across;
      for (let j = 0; j < xAxis.size; j++) {
        if (mask[i * xAxis.size + j]) weights[row + Math.floor(j / tile)] += detector.sign;
      }
    }
  }
  for (let i = 0; i < down; i++) {
    const height = Math.min(tile, yAxis.size - i * tile);
    for (let j = 0; j < across; j++) weights[i * across + j] /= height * Math.min(tile, xAxis.size - j * tile);
  }
  return weights;
}

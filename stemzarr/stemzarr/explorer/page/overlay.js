// What is drawn over the pictures: position, region, detectors, line of the profile, what was scanned.

import { handles, outline } from "./detectors.js";

const PLUS = "#ffb000", MINUS = "#56b4e9", MARK = "#ff4f3a", LINE = "#7cf29a", SCANNED = "#40e0ff";

function toCanvas(view, y, x) {
  return [view.left + x * view.size, view.top + y * view.size * view.aspect];
}

/** Strokes the path that `trace` makes in a colour, with a dark rim so that it is seen anywhere. */
function strokeTwice(context, view, colour, trace, dash = []) {
  context.save();
  context.setLineDash(dash.map((length) => length * view.ratio));
  for (const [style, width] of [["rgba(0, 0, 0, 0.6)", 4], [colour, 2]]) {
    context.beginPath();
    trace();
    context.strokeStyle = style;
    context.lineWidth = width * view.ratio;
    context.stroke();
  }
  context.restore();
}

/** Draws the position that is looked at: a frame around its pixel, and cross hairs to find it. */
export function drawPosition(context, view, y, x) {
  const [left, top] = toCanvas(view, y, x);
  const width = view.size, height = view.size * view.aspect;
  const [cy, cx] = [top + height / 2, left + width / 2];
  const gap = Math.max(6 * view.ratio, Math.max(width, height) / 2 + 2 * view.ratio), arm = gap + 9 * view.ratio;
  strokeTwice(context, view, MARK, () => {
    if (width > 4 * view.ratio) context.rect(left, top, width, height);
    for (const [dy, dx] of [[0, 1], [0, -1], [1, 0], [-1, 0]]) {
      context.moveTo(cx + dx * gap, cy + dy * gap);
      context.lineTo(cx + dx * arm, cy + dy * arm);
    }
  });
}

/** Draws a region [top, left, bottom, right] of positions. */
export function drawRegion(context, view, [top, left, bottom, right]) {
  const [x, y] = toCanvas(view, top, left), [x1, y1] = toCanvas(view, bottom, right);
  strokeTwice(context, view, MARK, () => context.rect(x, y, x1 - x, y1 - y), [6, 4]);
}

/** Draws what a scan covers of its survey image, [top, left, bottom, right] in pixels from its edge. */
export function drawScanned(context, view, [top, left, bottom, right]) {
  const [x, y] = toCanvas(view, top, left), [x1, y1] = toCanvas(view, bottom, right);
  strokeTwice(context, view, SCANNED, () => context.rect(x, y, x1 - x, y1 - y));
}

/** Draws detectors with their handles; the chosen one is drawn last. */
export function drawDetectors(context, view, detectors, chosen, yAxis, xAxis) {
  const order = detectors.map((_, i) => i).sort((a, b) => (a === chosen) - (b === chosen));
  for (const number of order) {
    const detector = detectors[number];
    const colour = detector.sign > 0 ? PLUS : MINUS;
    fillDetector(context, view, detector, colour, yAxis, xAxis);
    for (const handle of handles(detector, yAxis, xAxis)) {
      const [x, y] = toCanvas(view, handle.y, handle.x);
      drawHandle(context, view, x, y, handle.name === "center" ? (detector.sign > 0 ? "+" : "−") : "", colour);
    }
  }
}

function fillDetector(context, view, detector, colour, yAxis, xAxis) {
  const drawn = outline(detector, yAxis, xAxis);
  const rims = [];
  if (detector.shape === "rect") {
    const [x, y] = toCanvas(view, drawn.y0, drawn.x0), [x1, y1] = toCanvas(view, drawn.y1, drawn.x1);
    rims.push(() => context.rect(x, y, x1 - x, y1 - y));
  } else {
    const [x, y] = toCanvas(view, drawn.y, drawn.x);
    const ellipse = (ry, rx) => () => {
      context.moveTo(x + rx * view.size, y);
      context.ellipse(x, y, rx * view.size, ry * view.size * view.aspect, 0, 0, 2 * Math.PI);
    };
    if (Number.isFinite(drawn.outerX)) rims.push(ellipse(drawn.outerY, drawn.outerX));
    else rims.push(() => context.rect(view.left, view.top, xAxis.size * view.size, yAxis.size * view.size * view.aspect));
    if (drawn.innerX > 0) rims.push(ellipse(drawn.innerY, drawn.innerX));
  }
  context.save();
  context.beginPath();
  for (const rim of rims) rim();
  context.globalAlpha = 0.13;
  context.fillStyle = colour;
  context.fill("evenodd");
  context.restore();
  for (const rim of rims) strokeTwice(context, view, colour, rim);
}

function drawHandle(context, view, x, y, sign, colour) {
  const size = (sign ? 8 : 5) * view.ratio;
  context.save();
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.strokeStyle = "rgba(0, 0, 0, 0.8)";
  context.lineWidth = 1.5 * view.ratio;
  context.fill();
  context.stroke();
  if (sign) {
    context.fillStyle = "#000";
    context.font = `700 ${Math.round(14 * view.ratio)}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(sign, x, y + view.ratio);
  }
  context.restore();
}

/** Draws the line of a profile, [y0, x0, y1, x1]. */
export function drawLine(context, view, [y0, x0, y1, x1]) {
  const first = toCanvas(view, y0, x0), last = toCanvas(view, y1, x1);
  strokeTwice(context, view, LINE, () => {
    context.moveTo(...first);
    context.lineTo(...last);
  });
  for (const [x, y] of [first, last]) drawHandle(context, view, x, y, "", LINE);
}

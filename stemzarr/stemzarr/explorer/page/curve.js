// Curves: a profile along a line, a spectrum.

import { make } from "./dom.js";
import { formatNumber, niceLength } from "./units.js";

/** Returns the values along a line [y0, x0, y1, x1] of a plane: one a pixel, the nearest pixel's. */
export function profileOf(plane, [y0, x0, y1, x1], step = plane.step || 1) {
  const length = Math.hypot(y1 - y0, x1 - x0);
  const count = Math.max(2, Math.round(length) + 1);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const share = i / (count - 1);
    const row = Math.floor((y0 + (y1 - y0) * share) / step), column = Math.floor((x0 + (x1 - x0) * share) / step);
    const inside = row >= 0 && row < plane.height && column >= 0 && column < plane.width;
    values[i] = inside ? plane.values[row * plane.width + column] : NaN;
  }
  return values;
}

/** A drawn curve with axes. */
export class Curve {
  constructor(label) {
    this.canvas = make("canvas", { class: "curve", role: "img", "aria-label": label });
    this.element = make("div", { class: "plot" }, this.canvas);
    this.data = null;
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /** Shows values at offset + i × scale of units. */
  set(values, offset, scale, units) {
    this.data = { values, offset, scale, units };
    this.draw();
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const canvas = this.canvas;
    canvas.width = Math.round(this.element.clientWidth * ratio);
    canvas.height = Math.round(this.element.clientHeight * ratio);
    if (!this.data || !canvas.width || !canvas.height) return;
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const ink = style.color, soft = style.getPropertyValue("--soft"), line = style.getPropertyValue("--line");
    const frame = { left: 56 * ratio, right: canvas.width - 10 * ratio, top: 10 * ratio, bottom: canvas.height - 24 * ratio };
    const { values, offset, scale, units } = this.data;
    const finite = values.filter(Number.isFinite);
    let low = finite.reduce((a, b) => Math.min(a, b), Infinity), high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!(low <= high)) return;
    if (low > 0 && low < high / 3) low = 0;
    if (high === low) high = low + 1;
    const first = offset, last = offset + (values.length - 1) * scale;
    const toX = (x) => frame.left + ((x - first) / ((last - first) || 1)) * (frame.right - frame.left);
    const toY = (y) => frame.bottom - ((y - low) / (high - low)) * (frame.bottom - frame.top);
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.lineWidth = ratio;
    ticks(low, high, 4).forEach((y) => {
      context.strokeStyle = line;
      context.beginPath();
      context.moveTo(frame.left, toY(y));
      context.lineTo(frame.right, toY(y));
      context.stroke();
      context.fillStyle = soft;
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(formatNumber(y, 3), frame.left - 6 * ratio, toY(y));
    });
    context.textBaseline = "top";
    const marks = ticks(Math.min(first, last), Math.max(first, last), Math.max(2, canvas.width / ratio / 90));
    marks.forEach((x, i) => {
      context.textAlign = i === marks.length - 1 ? "right" : "center";
      const text = i === marks.length - 1 ? `${formatNumber(x, 4)} ${units === "pixel" ? "px" : units}` : formatNumber(x, 4);
      context.fillText(text, Math.min(frame.right, toX(x) + (i === marks.length - 1 ? 20 * ratio : 0)), frame.bottom + 6 * ratio);
    });
    context.strokeStyle = ink;
    context.lineWidth = 1.5 * ratio;
    context.lineJoin = "round";
    context.beginPath();
    let drawing = false;
    values.forEach((value, i) => {
      if (!Number.isFinite(value)) { drawing = false; return; }
      const point = [toX(offset + i * scale), toY(value)];
      if (drawing) context.lineTo(...point); else context.moveTo(...point);
      drawing = true;
    });
    context.stroke();
  }
}

function ticks(low, high, most) {
  const step = niceLength((high - low) / most * 1.5) || 1;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-12) && found.length < 50; i++) found.push(i * step);
  return found;
}

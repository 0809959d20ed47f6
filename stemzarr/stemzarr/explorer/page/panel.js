// A picture with its display settings: canvas, scale bar, histogram, zoom, pointer.

import { make, select, show } from "./dom.js";
import { MAP_NAMES } from "./colours.js";
import { histogramOf, levelsOf, makePainter, rangeOf, stretch, unstretch } from "./levels.js";
import { aspectOf, formatLength, formatNumber, niceLength } from "./units.js";

const MOST_ZOOM = 64;
const BAR_SHARE = 0.28;
const REST = 80;

/** One picture. `options`: label, percentiles, onDisplay(display), onPointer(kind, point, event), where
 * kind is hover, leave, down, drag, up, or cancel of what began by down. */
export class Panel {
  constructor(options) {
    this.options = options;
    this.painter = makePainter();
    this.plane = null;
    this.axes = [null, null];
    this.rows = this.columns = 1;
    this.display = null;
    this.overlay = () => {};
    this.legend = () => {};
    this.zoom = { factor: 1, y: 0, x: 0 };
    this.canvas = make("canvas", { tabindex: "0", role: "img", "aria-label": options.label });
    this.stage = make("div", { class: "stage" }, this.canvas);
    this.source = document.createElement("canvas");
    this.buildDisplay();
    this.waiting = false;
    new ResizeObserver(() => this.redraw()).observe(this.stage);
    this.listen();
  }

  buildDisplay() {
    const set = (change) => this.options.onDisplay({ ...this.display, ...change });
    this.mapChoice = select("Colour map", MAP_NAMES.map((name) => [name, name]), (map) => set({ map }));
    this.scaleChoice = select("Brightness scale", [["linear", "linear"], ["log", "log"], ["gamma", "gamma"]],
      (scale) => set({ scale }));
    this.gammaInput = make("input", {
      type: "number", min: "0.05", max: "5", step: "0.05", "aria-label": "Gamma", title: "Gamma",
      onchange: (event) => set({ gamma: Math.min(5, Math.max(0.05, Number(event.target.value) || 0.5)) }),
    });
    const level = (name, text) => make("input", {
      type: "number", step: "any", "aria-label": text, title: text, class: "level",
      onchange: (event) => set({ [name]: event.target.value === "" ? null : Number(event.target.value) }),
    });
    this.lowInput = level("low", "Darkest value");
    this.highInput = level("high", "Brightest value");
    this.autoButton = make("button", {
      type: "button", title: "Darkest and brightest value by percentiles", onclick: () => set({ low: null, high: null }),
    }, "Auto");
    this.histogram = make("canvas", { class: "histogram", role: "img", "aria-label": "Histogram; drag the ends", title: "Drag the darkest and the brightest value" });
    this.listenHistogram(set);
    this.settings = make("div", { class: "settings" }, this.histogram,
      make("div", { class: "row" }, this.mapChoice, this.scaleChoice, this.gammaInput,
        make("span", { class: "ends" }, this.lowInput, "–", this.highInput), this.autoButton));
  }

  /** Shows values of `rows` × `columns` pixels; a coarse plane has a step of more than 1. */
  setPlane(plane, [yAxis, xAxis], rows = plane.height, columns = plane.width) {
    this.plane = plane;
    this.axes = [yAxis, xAxis];
    [this.rows, this.columns] = [rows, columns];
    this.levels = null;
    this.stale = true;
    const aspect = columns / (rows * aspectOf(yAxis, xAxis));
    this.stage.style.setProperty("--aspect", Math.min(3, Math.max(0.6, aspect)));
    this.redraw();
  }

  setDisplay(display) {
    if (display === this.display) return;
    this.display = display;
    this.levels = null;
    this.stale = true;
    this.mapChoice.value = display.map;
    this.scaleChoice.value = display.scale;
    this.gammaInput.value = display.gamma;
    show(this.gammaInput, display.scale === "gamma");
    this.autoButton.classList.toggle("on", display.low === null && display.high === null);
    this.redraw();
  }

  /** Draws before the next frame, once however often it is asked for. */
  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  /** Returns how data pixels are drawn: `size` of one in canvas pixels, and where the first one is. */
  view() {
    const ratio = devicePixelRatio || 1;
    const aspect = aspectOf(...this.axes);
    const width = this.canvas.width, height = this.canvas.height;
    const fit = Math.min(width / this.columns, height / (this.rows * aspect));
    const size = fit * this.zoom.factor;
    const left = width / 2 - (this.columns / 2 + this.zoom.x) * size;
    const top = height / 2 - (this.rows / 2 + this.zoom.y) * size * aspect;
    return { size, aspect, left, top, ratio, width, height };
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const width = Math.round(this.stage.clientWidth * ratio), height = Math.round(this.stage.clientHeight * ratio);
    if (!this.plane || !this.display || !width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    if (this.stale) this.paint();
    const context = this.canvas.getContext("2d");
    const view = this.view();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    this.drawPlane(context, view);
    this.overlay(context, view);
    this.drawScaleBar(context, view);
    this.drawLegend(context, view);
  }

  drawLegend(context, view) {
    const right = Math.min(view.width, view.left + this.columns * view.size);
    this.legend(context, right, Math.max(0, view.top), view.ratio);
  }

  drawPlane(context, { size, aspect, left, top }) {
    const step = this.plane.step || 1;
    context.save();
    context.beginPath();
    context.rect(left, top, this.columns * size, this.rows * size * aspect);
    context.clip();
    context.drawImage(this.source, left, top, this.plane.width * step * size, this.plane.height * step * size * aspect);
    context.restore();
  }

  paint() {
    const { values, width, height, channels } = this.plane;
    this.source.width = width;
    this.source.height = height;
    const image = new ImageData(width, height);
    if (channels > 2) {
      paintColours(values, image.data, channels);
    } else {
      if (!this.levels) this.levels = levelsOf(values, this.display, this.options.percentiles);
      this.painter(values, new Uint32Array(image.data.buffer), this.levels, this.display);
      // Numbers and histogram follow when the picture rests: it is the picture that must be quick.
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.drawLevels(), REST);
    }
    show(this.settings, !(channels > 2));
    this.source.getContext("2d").putImageData(image, 0, 0);
    this.stale = false;
  }

  drawScaleBar(context, view) {
    const axis = this.axes[1];
    if (!axis) return;
    const shown = Math.min(view.width, this.columns * view.size);
    const scale = Math.abs(axis.scale);
    const length = niceLength((shown * BAR_SHARE / view.size) * scale);
    if (!length) return;
    const left = Math.max(0, view.left) + 12 * view.ratio;
    const bottom = Math.min(view.height, view.top + this.rows * view.size * view.aspect) - 12 * view.ratio;
    paintScaleBar(context, left, bottom, (length / scale) * view.size, formatLength(length, axis.units), view.ratio);
  }

  /** Returns a canvas with the picture and its scale bar, every pixel of the data a square block. */
  figure() {
    const aspect = aspectOf(...this.axes);
    const size = Math.max(1, Math.ceil(768 / Math.max(this.columns, this.rows * aspect)));
    const canvas = document.createElement("canvas");
    canvas.width = this.columns * size;
    canvas.height = Math.round(this.rows * size * aspect);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const view = { size, aspect, left: 0, top: 0, ratio: Math.max(1, canvas.width / 600), width: canvas.width, height: canvas.height };
    this.drawPlane(context, view);
    this.drawScaleBar(context, view);
    this.drawLegend(context, view);
    return canvas;
  }

  drawLevels() {
    if (!this.levels || !this.plane) return;
    this.lowInput.value = formatNumber(this.levels[0], 5);
    this.highInput.value = formatNumber(this.levels[1], 5);
    this.drawHistogram();
  }

  drawHistogram() {
    const canvas = this.histogram;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const [least, largest] = rangeOf(this.plane.values);
    this.span = [Math.min(least, this.levels[0]), Math.max(largest, this.levels[1]), this.levels[2]];
    const counts = histogramOf(this.plane.values, this.span, this.display).map(Math.log1p);
    const top = Math.max(...counts) || 1;
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    context.fillStyle = style.color;
    const wide = canvas.width / counts.length;
    counts.forEach((count, i) => {
      const high = (count / top) * (canvas.height - 4 * ratio);
      context.fillRect(i * wide, canvas.height - high, Math.max(1, wide - ratio / 2), high);
    });
    context.fillStyle = style.getPropertyValue("--accent");
    for (const level of this.levels.slice(0, 2)) {
      context.fillRect(this.placeOf(level) * (canvas.width - 2 * ratio), 0, 2 * ratio, canvas.height);
    }
  }

  placeOf(level) {
    const share = (level - this.span[0]) / ((this.span[1] - this.span[0]) || 1);
    return stretch(Math.min(1, Math.max(0, share)), this.display, this.levels[2]);
  }

  listenHistogram(set) {
    let end = null;
    const levelAt = (event) => {
      const box = this.histogram.getBoundingClientRect();
      const place = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const share = unstretch(place, this.display, this.levels[2]);
      return { place, level: this.span[0] + share * (this.span[1] - this.span[0]) };
    };
    this.histogram.addEventListener("pointerdown", (event) => {
      if (!this.levels || !this.span) return;
      const { place } = levelAt(event);
      const [low, high] = this.levels.map((level) => Math.abs(this.placeOf(level) - place));
      end = low < high ? "low" : "high";
      this.histogram.setPointerCapture(event.pointerId);
    });
    this.histogram.addEventListener("pointermove", (event) => {
      if (!end) return;
      const { level } = levelAt(event);
      const [low, high] = this.levels;
      if (end === "low" ? level < high : level > low) set({ low, high, [end]: level });
    });
    for (const name of ["pointerup", "pointercancel"]) this.histogram.addEventListener(name, () => { end = null; });
  }

  /** Returns the point of the data below a pointer, in pixels; pixel i reaches from i to i + 1. */
  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const { size, aspect, left, top, ratio } = this.view();
    return {
      y: ((event.clientY - box.top) * ratio - top) / (size * aspect),
      x: ((event.clientX - box.left) * ratio - left) / size,
      zoom: size / ratio,
    };
  }

  listen() {
    const { canvas } = this;
    const touches = new Map();
    let pressed = null;
    const send = (kind, event) => {
      if (this.plane) this.options.onPointer(kind, this.pointOf(event), event);
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 2) return;
      if (event.pointerType === "touch") touches.set(event.pointerId, event);
      if (touches.size === 2 && this.plane) {
        // A second finger zooms; what the first one began is taken back.
        if (pressed !== null && !this.panning) send("cancel", event);
        pressed = null;
        this.pinch = [...touches.values()];
        canvas.setPointerCapture(event.pointerId);
        return;
      }
      if (pressed !== null || this.pinch) return;
      pressed = event.pointerId;
      canvas.setPointerCapture(pressed);
      canvas.focus({ preventScroll: true });
      this.panning = event.button === 1 || event.altKey ? event : null;
      if (!this.panning) send("down", event);
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (touches.has(event.pointerId)) touches.set(event.pointerId, event);
      if (this.pinch) this.pinched([...touches.values()]);
      else if (pressed === null) send("hover", event);
      else if (event.pointerId === pressed) {
        if (this.panning) this.pan(event); else send("drag", event);
      }
    });
    const end = (event) => {
      touches.delete(event.pointerId);
      if (!touches.size) this.pinch = null;
      if (event.pointerId !== pressed) return;
      pressed = null;
      if (!this.panning) send("up", event);
      this.panning = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", (event) => { if (pressed === null) send("leave", event); });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomTo(this.zoom.factor * Math.exp(-event.deltaY * 0.002), event, event);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => {
      this.zoom = { factor: 1, y: 0, x: 0 };
      this.redraw();
    });
  }

  /** Follows two fingers: their distance zooms, their middle pans. */
  pinched(fingers) {
    if (fingers.length !== 2) return;
    const [before, now] = [this.pinch, fingers].map(([a, b]) => ({
      clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2,
      apart: Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY)),
    }));
    this.pinch = fingers;
    this.zoomTo(this.zoom.factor * (now.apart / before.apart), before, now);
  }

  pan(event) {
    const { size, aspect, ratio } = this.view();
    this.zoom.x -= ((event.clientX - this.panning.clientX) * ratio) / size;
    this.zoom.y -= ((event.clientY - this.panning.clientY) * ratio) / (size * aspect);
    this.panning = event;
    this.keepInside();
  }

  /** Zooms by a factor of the whole; what was below one point is then below another. */
  zoomTo(factor, from, to) {
    const before = this.pointOf(from);
    this.zoom.factor = Math.min(MOST_ZOOM, Math.max(1, factor));
    const after = this.pointOf(to);
    this.zoom.x += before.x - after.x;
    this.zoom.y += before.y - after.y;
    this.keepInside();
  }

  keepInside() {
    const free = (1 - 1 / this.zoom.factor) / 2;
    this.zoom.x = Math.min(free * this.columns, Math.max(-free * this.columns, this.zoom.x));
    this.zoom.y = Math.min(free * this.rows, Math.max(-free * this.rows, this.zoom.y));
    this.redraw();
  }
}

function paintColours(values, bytes, channels) {
  const [low, high] = values instanceof Uint8Array ? [0, 255] : rangeOf(values);
  const factor = 255 / ((high - low) || 1);
  for (let i = 0; 4 * i < bytes.length; i++) {
    for (let channel = 0; channel < 3; channel++) bytes[4 * i + channel] = (values[i * channels + channel] - low) * factor;
    bytes[4 * i + 3] = 255;
  }
}

/** Paints a scale bar whose lower left corner is given, readable on any picture. */
export function paintScaleBar(context, left, bottom, length, text, ratio) {
  const height = Math.max(2, Math.round(4 * ratio));
  context.save();
  context.font = `600 ${Math.round(13 * ratio)}px system-ui, sans-serif`;
  const wide = Math.max(length, context.measureText(text).width);
  context.fillStyle = "rgba(0, 0, 0, 0.55)";
  context.fillRect(left - 6 * ratio, bottom - 24 * ratio, wide + 12 * ratio, 30 * ratio);
  context.fillStyle = "#fff";
  context.fillRect(left, bottom - height, length, height);
  context.textBaseline = "bottom";
  context.fillText(text, left, bottom - height - 2 * ratio);
  context.restore();
}

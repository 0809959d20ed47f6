// The page of what is not a scan of patterns: images, stacks, patterns, spectra, spectrum images.

import { make, show } from "./dom.js";
import { Curve, profileOf } from "./curve.js";
import { Frame } from "./frame.js";
import { Latest } from "./latest.js";
import { AddressLink } from "./link.js";
import { drawLine, drawPosition, drawScanned } from "./overlay.js";
import { Panel } from "./panel.js";
import { pythonOfPlane } from "./python.js";
import { initialState, readState, writeState } from "./state.js";
import { formatLength, formatNumber, positionOf } from "./units.js";

const CURVES = ["spectrum", "profile", "spectrum-image"];

/** The page of an image, a stack, a curve, or a map of curves. */
export class SimplePage {
  constructor(root, transport, about, home) {
    this.transport = transport;
    this.link = transport.link || new AddressLink();
    this.about = about;
    this.frame = new Frame(root, about, home);
    const initial = initialState(about);
    if (about.kind === "diffraction") initial.image = { ...initial.image, map: "viridis", scale: "log" };
    this.state = readState(this.link.read(), initial, about);
    this.isCurve = CURVES.includes(about.kind);
    this.isMap = about.kind === "spectrum-image";
    const own = this.isCurve ? 1 : Math.min(2, about.axes.length);
    this.lead = about.shape.slice(0, about.axes.length - own);
    this.own = about.axes.slice(about.axes.length - own);
    this.planes = new Latest((_, signal) => this.loadPlane(signal), (error) => this.frame.say(error.message, true));
    this.build();
    this.link.listen((text) => this.update(readState(text, this.state, about)), (change) => this.update(change));
  }

  get count() {
    return this.lead.reduce((a, b) => a * b, 1);
  }

  build() {
    this.panel = new Panel({
      label: this.about.kind, percentiles: [0.2, 99.8],
      onDisplay: (image) => this.update({ image }), onPointer: (kind, point) => this.onPointer(kind, point),
    });
    this.panel.overlay = (context, view) => {
      for (const frame of this.about.frames) drawScanned(context, view, frame);
      if (this.isMap) drawPosition(context, view, this.state.y, this.state.x);
      if (this.state.profile) drawLine(context, view, this.state.profile.line);
    };
    this.idle = this.about.frames.length ? "The frame is what was scanned." : "\u00a0";
    this.read = make("div", { class: "readout" }, this.idle);
    this.curve = new Curve(this.isCurve ? this.about.kind : "Profile along the line");
    this.slider = make("input", {
      type: "range", min: "0", max: String(this.count - 1), "aria-label": "Frame",
      oninput: (event) => this.update({ index: Number(event.target.value) }),
    });
    this.frameText = make("span", { class: "soft" });
    const frames = make("div", { class: "row bar" }, this.slider, this.frameText);
    show(frames, !this.isMap && this.count > 1);
    const python = () => pythonOfPlane(this.about, this.index(), this.lead);
    const pictures = this.isCurve && !this.isMap ? [] : [make("section", { class: "panel", "aria-label": "Image" },
      frames, this.panel.stage, this.read, this.panel.settings,
      this.frame.actions(this.panel, () => (this.count > 1 ? `frame-${this.state.index}` : "image"), python))];
    this.curveBox = make("section", { class: "panel curves", "aria-label": "Curve" },
      make("div", { class: "row bar" }, make("h2", {}, this.isCurve ? this.about.title || this.about.kind : "Profile")), this.curve.element);
    if (!this.isCurve) this.curve.element.before(make("p", { class: "soft" }, "Drag a line on the image."));
    this.frame.main.replaceChildren(...pictures, this.curveBox, make("aside", {}, this.frame.facts()));
    this.frame.main.classList.add("simple");
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  index() {
    return this.isMap ? this.state.y * this.about.shape[1] + this.state.x : Math.min(this.count - 1, this.state.index);
  }

  async start() {
    this.update({});
    if (this.isMap) this.panel.setPlane(await this.transport.totals(), this.about.axes.slice(0, 2));
  }

  update(change) {
    this.state = { ...this.state, ...change };
    this.panel.setDisplay(this.state.image);
    this.slider.value = String(this.state.index);
    this.frameText.textContent = `${Math.min(this.count - 1, this.state.index) + 1} of ${this.count}`;
    const index = this.index();
    if (index !== this.loaded) this.planes.ask(null);
    this.loaded = index;
    this.drawProfile();
    this.panel.redraw();
    this.link.write(writeState(this.state, this.about), this.state);
  }

  async loadPlane(signal) {
    const plane = await this.transport.plane(this.index(), signal);
    if (this.isCurve) {
      const axis = this.own[0];
      this.curve.set(Float64Array.from(plane.values), axis.offset, axis.scale, axis.units);
      return;
    }
    const [rows, columns] = [this.own.length > 1 ? this.own[0].size : 1, this.own[this.own.length - 1].size];
    plane.step = Math.max(1, Math.ceil(columns / plane.width));
    this.panel.setPlane(plane, this.own.length > 1 ? this.own : [null, this.own[0]], rows, columns);
    this.drawProfile();
  }

  onPointer(kind, point) {
    const { plane, rows, columns } = this.panel;
    const y = Math.floor(point.y), x = Math.floor(point.x);
    const inside = y >= 0 && y < rows && x >= 0 && x < columns;
    this.readOff(inside && kind !== "leave" ? { y, x } : null, plane);
    if (kind === "down") this.from = point;
    if (kind === "up" || kind === "cancel") this.from = null;
    if (kind !== "down" && kind !== "drag") return;
    if (this.isMap) {
      if (inside) this.update({ y, x });
    } else if (this.from && Math.hypot(point.y - this.from.y, point.x - this.from.x) > 1) {
      this.update({ profile: { panel: "image", line: [this.from.y, this.from.x, point.y, point.x] } });
    }
  }

  readOff(place, plane) {
    if (!place) {
      this.read.textContent = this.idle;
      return;
    }
    const [yAxis, xAxis] = this.panel.axes;
    const step = plane.step || 1, channels = plane.channels || 1;
    const at = (Math.floor(place.y / step) * plane.width + Math.floor(place.x / step)) * channels;
    const values = Array.from(plane.values.slice(at, at + channels)).map((value) => formatNumber(value, 6)).join(", ");
    const where = [yAxis && formatLength(positionOf(yAxis, place.y), yAxis.units), formatLength(positionOf(xAxis, place.x), xAxis.units)].filter(Boolean).join(", ");
    this.read.textContent = `y ${place.y}, x ${place.x} · ${where} · ${values}`;
  }

  drawProfile() {
    const { profile } = this.state;
    if (this.isCurve || !profile || !this.panel.plane || (this.panel.plane.channels || 1) > 1) return;
    const [y0, x0, y1, x1] = profile.line, axis = this.panel.axes[1];
    const values = profileOf(this.panel.plane, profile.line);
    this.curve.set(values, 0, (Math.hypot(y1 - y0, x1 - x0) * Math.abs(axis.scale)) / (values.length - 1), axis.units);
  }

  onKey(event) {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const clip = (value, length) => Math.min(length - 1, Math.max(0, value));
    if (this.isMap) this.update({ y: clip(this.state.y + step[0], this.about.shape[0]), x: clip(this.state.x + step[1], this.about.shape[1]) });
    else this.update({ index: clip(this.state.index + (step[0] || step[1]), this.count) });
  }
}

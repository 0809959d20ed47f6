// The page of a 4D scan: the image of detectors on the left, the pattern of a position on the right.

import { calibrationSection, carryOver, ringOf } from "./calibrating.js";
import { button, make, select, show } from "./dom.js";
import { Curve, profileOf } from "./curve.js";
import { colourShifts, drawWheel } from "./deflection.js";
import { dragged, formatDetectors, grab, ordered, parseDetectors } from "./detectors.js";
import { drawDetectorList, newDetector } from "./detector_list.js";
import { Frame } from "./frame.js";
import { Latest } from "./latest.js";
import { AddressLink } from "./link.js";
import { drawDetectors, drawLine, drawPosition, drawRegion } from "./overlay.js";
import { Panel } from "./panel.js";
import { pythonOfImage, pythonOfPattern } from "./python.js";
import { saveButtons } from "./saving.js";
import { initialState, readState, writeState } from "./state.js";
import { TileImages } from "./tiles.js";
import { aspectOf, formatBytes, formatLength, formatNumber, positionOf } from "./units.js";

const PRESETS = [["bright_field", "Bright field"], ["annular_dark_field", "Dark field"], ["total_intensity", "Total"]];
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** The page of a scan. */
export class ScanPage {
  constructor(root, transport, about, home) {
    this.transport = transport;
    this.link = transport.link || new AddressLink();
    this.about = about;
    this.scanAxes = about.axes.slice(0, 2);
    this.detectorAxes = about.axes.slice(2);
    this.state = readState(this.link.read(), initialState(about), about);
    this.frame = new Frame(root, about, home);
    this.chosen = 0;
    this.tool = { image: "", pattern: "" };
    this.drag = null;
    const fail = (error) => this.frame.say(error.message, true);
    this.patterns = new Latest((_, signal) => this.loadPattern(signal), (error) => { this.patternFailed(error); });
    this.shifts = new Latest((_, signal) => this.loadShift(signal), (error) => { this.setStatus("wrong", "not there"); fail(error); });
    this.exactImages = new Latest((detectors, signal) => this.loadImage(detectors, signal), (error) => { this.setStatus("wrong", "not computed"); fail(error); });
    this.build();
    this.link.listen((text) => this.update(readState(text, this.state, about)), (change) => this.update(change));
  }

  build() {
    this.imagePanel = new Panel({
      label: "Image; arrow keys move the position", percentiles: [0.5, 99.8],
      onDisplay: (image) => this.update({ image }),
      onPointer: (kind, point, event) => this.onImage(kind, point, event),
    });
    this.patternPanel = new Panel({
      label: "Pattern", percentiles: [1, 99.95],
      onDisplay: (pattern) => this.update({ pattern }),
      onPointer: (kind, point, event) => this.onPattern(kind, point, event),
    });
    this.imagePanel.overlay = (context, view) => this.overImage(context, view);
    this.patternPanel.overlay = (context, view) => this.overPattern(context, view);
    this.imagePanel.legend = (...where) => { if (this.state.show === "dpc" && this.shift) drawWheel(...where); };
    this.presetButtons = PRESETS.filter(([name]) => this.about.presets[name]).map(([name, text]) => {
      const element = button(text, () => this.update({ show: "detectors", detectors: parseDetectors(this.about.presets[name]) }));
      return [name, element];
    });
    const shown = [["detectors", "Detectors"], ["like", "Likeness"]];
    if (this.transport.centerOfMass) shown.push(["com_y", "CoM y"], ["com_x", "CoM x"], ["com_magnitude", "CoM length"], ["dpc", "DPC colours"]);
    this.showChoice = select("What the image shows", shown, (name) => this.update({ show: name }));
    this.status = make("span", { class: "status" });
    this.exactButton = button(`Compute exactly (${formatBytes(this.about.nbytes)})`, () => this.computeExactly());
    show(this.exactButton, false);
    this.imageRead = make("div", { class: "readout" });
    this.patternRead = make("div", { class: "readout" });
    this.patternTitle = make("h2", {});
    this.curve = new Curve("Profile along the line");
    this.list = make("ul", { class: "detectors" });
    const add = (shape) => () => this.addDetector(shape);
    const tools = (panel, entries) => entries.map(([tool, text, hint]) => {
      const element = button(text, () => this.setTool(panel, this.tool[panel] === tool ? "" : tool), hint);
      element.dataset.tool = tool;
      return element;
    });
    this.tools = {
      image: tools("image", [["region", "Region", "Drag a rectangle: its mean pattern (or hold Shift)"], ["profile", "Profile", "Drag a line: the values along it"]]),
      pattern: tools("pattern", [["profile", "Profile", "Drag a line: the values along it"]]),
    };
    this.badButton = this.about.bad_pixels
      ? button(`Hide ${this.about.bad_pixels} bad pixels`, () => this.update({ bad: !this.state.bad }), "Whether pixels that are marked as bad are hidden") : null;
    this.profileBox = make("section", {}, make("div", { class: "row" }, make("h2", {}, "Profile"), make("span", { class: "space" }),
      button("×", () => this.update({ profile: null }), "Remove")), this.curve.element);
    this.frame.main.replaceChildren(
      make("section", { class: "panel", "aria-label": "Image" },
        make("div", { class: "row bar" }, make("div", { class: "group" }, ...this.presetButtons.map(([, element]) => element)),
          this.showChoice, make("span", { class: "space" }), ...this.tools.image),
        this.imagePanel.stage, make("div", { class: "row" }, this.imageRead, make("span", { class: "space" }), this.exactButton, this.status), this.imagePanel.settings,
        this.frame.actions(this.imagePanel, () => (this.state.show === "detectors" ? this.presetName() || "image" : this.state.show), () =>
          pythonOfImage(this.about, this.state, this.state.image, this.imagePanel.levels || [0, 1, 1], this.brightest))),
      make("section", { class: "panel", "aria-label": "Pattern" },
        make("div", { class: "row bar" }, this.patternTitle, make("span", { class: "space" }), this.badButton, ...this.tools.pattern),
        this.patternPanel.stage, this.patternRead, this.patternPanel.settings,
        this.frame.actions(this.patternPanel, () => this.patternName(), () =>
          pythonOfPattern(this.about, this.state, this.state.pattern, this.patternPanel.levels || [0, 1, 1]), ...saveButtons(this.frame, this.transport, this.about, () => this.state))),
      make("aside", { "aria-label": "Detectors" },
        make("section", {}, make("h2", {}, "Detectors"), this.list,
          make("div", { class: "row" }, button("+ Disk", add("disk")), button("+ Ring", add("ring")), button("+ Rectangle", add("rect")))),
        this.profileBox,
        this.about.edit ? calibrationSection((what, ring) => this.calibrate(what, ring), () => ringOf(this.state.detectors[this.chosen], ...this.detectorAxes)) : null,
        this.frame.facts(),
        make("details", {}, make("summary", {}, "Keys"), make("p", { class: "soft" },
          "Arrow keys move the position, with Shift by ten. Shift and drag on the image chooses a region. The wheel, or two fingers, zooms; Alt and drag pans, a double click shows all. Escape takes region and profile away."))));
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Reads what is shown first; tile sums follow while the person looks. */
  async start() {
    this.apply({}, true);
    if (this.about.bad_pixels) this.badMask = (await this.transport.bad()).values;
    if (this.badMask) this.showPattern();
    await this.loadTiles();
  }

  async loadTiles() {
    for (let wait = 500; ; wait = Math.min(5000, wait * 1.5)) {
      const tiles = await this.transport.tiles();
      if (!tiles) return;
      if (!this.tiles || tiles.step < this.tiles.tiles.step || tiles.whole) this.tiles = new TileImages(tiles, ...this.detectorAxes);
      if (this.state.show === "like") this.drawLikeness();
      else if (this.state.show === "detectors" && !this.isExact) this.drawApproximate();
      if (tiles.whole) return;
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  /** Changes the state; `live` while something is dragged. */
  update(change, live = false) {
    const before = this.state;
    // Whoever touches a detector wants to see its image.
    const shown = change.show || (change.detectors ? "detectors" : before.show);
    this.state = { ...before, ...change, show: shown };
    // What is bright in one image means nothing in another.
    if (shown !== before.show && !change.image) this.state.image = { ...this.state.image, low: null, high: null };
    this.apply(before, live);
  }

  apply(before, live) {
    const { state } = this;
    const changed = (...names) => names.some((name) => state[name] !== before[name]);
    this.imagePanel.setDisplay(state.image);
    this.patternPanel.setDisplay(state.pattern);
    if (changed("y", "x", "region")) this.patterns.ask(null);
    if (changed("bad")) this.showPattern();
    if (changed("detectors", "show") || (changed("y", "x") && state.show === "like")) this.imageChanged(live);
    if (changed("profile")) this.drawProfile();
    // A moved position changes one title and one mark: the pattern is drawn when it has come.
    this.drawTitle();
    if (changed("detectors", "show", "bad", "profile")) this.drawLists();
    if (changed("y", "x", "region", "profile")) this.imagePanel.redraw();
    if (changed("detectors", "profile")) this.patternPanel.redraw();
    if (!live || !before.image) this.writeAddress();
  }

  writeAddress() {
    this.link.write(writeState(this.state, this.about), this.state);
  }

  drawLists() {
    const { state } = this;
    const text = formatDetectors(state.detectors);
    for (const [name, element] of this.presetButtons) element.classList.toggle("on", state.show === "detectors" && text === formatDetectors(parseDetectors(this.about.presets[name])));
    this.showChoice.value = state.show;
    drawDetectorList(this.list, state.detectors, this.chosen, this.detectorAxes[1],
      (detectors) => this.update({ detectors: detectors.map((each) => ordered(each, ...this.detectorAxes)) }),
      (number) => {
        this.chosen = number;
        Array.from(this.list.children, (row, i) => row.classList.toggle("chosen", i === number));
        this.patternPanel.redraw();
      });
    if (this.badButton) this.badButton.classList.toggle("on", state.bad);
    show(this.profileBox, Boolean(state.profile));
    for (const panel of ["image", "pattern"]) {
      for (const element of this.tools[panel]) element.classList.toggle("on", this.tool[panel] === element.dataset.tool);
    }
  }

  drawTitle() {
    const { state } = this;
    const region = state.region;
    this.patternTitle.textContent = region
      ? `Mean of ${region[2] - region[0]} × ${region[3] - region[1]} patterns` : `Pattern ${state.y}, ${state.x}`;
    const bin = this.about.arrays ? this.about.arrays.patterns.bin : 1;
    if (bin > 1) this.patternTitle.append(make("span", { class: "soft" }, ` binned ${bin} × ${bin}`));
    this.readPosition();
  }

  // ----- the image

  imageChanged(live) {
    const { show: shown } = this.state;
    if (shown === "detectors") {
      this.detectorsChanged(live && Boolean(this.tiles));
      return;
    }
    this.exactImages.stop();
    show(this.exactButton, false);
    this.isExact = false;
    if (shown === "like") this.drawLikeness(); else this.shifts.ask(null);
  }

  drawLikeness() {
    if (!this.tiles) {
      this.setStatus("rough", "waiting for tile sums");
      return;
    }
    const [rows, columns] = this.about.shape;
    const { step, tile } = this.tiles.tiles;
    this.setImage(this.tiles.likeness(this.state.y, this.state.x), rows, columns);
    this.setStatus(step > 1 ? "rough" : "exact", `correlation of ${tile} × ${tile} tiles${step > 1 ? `, every ${step}th position` : ""}`);
  }

  async loadShift(signal) {
    this.setStatus("rough", "computing");
    this.shift = this.shift || await this.transport.centerOfMass(signal);
    const { show: shown } = this.state, { com_y: y, com_x: x } = this.shift;
    if (shown === "dpc") {
      const { plane, top } = colourShifts(this.shift);
      this.brightest = top;
      this.setImage(plane);
      this.setStatus("exact", `direction and size of the shift, mean subtracted; brightest from ${formatLength(top, this.detectorAxes[1].units)}`);
      return;
    }
    if (shown === "com_magnitude") this.setImage({ ...y, values: y.values.map((shift, i) => Math.hypot(shift, x.values[i])) });
    else if (this.shift[shown]) this.setImage(this.shift[shown]);
    else return;
    this.setStatus("exact", `shift in ${this.detectorAxes[1].units}`);
  }

  setImage(plane, rows = plane.height, columns = plane.width) {
    this.imagePanel.setPlane(plane, this.scanAxes, rows, columns);
    this.isExact = true;
    this.drawProfile();
    this.readPosition();
  }

  detectorsChanged(live) {
    this.isExact = false;
    if (!this.state.detectors.length) {
      this.exactImages.stop();
      this.setStatus("wrong", "no detector");
      return;
    }
    if (this.tiles) this.drawApproximate();
    if (live) this.exactImages.stop();
    else if (this.about.nbytes <= this.transport.unaskedBytes || this.about.instant.includes(this.presetName())) this.computeExactly();
    else this.exactImages.stop();
    show(this.exactButton, !live && !this.transport.cannotCompute && !this.exactImages.busy && !this.isExact);
  }

  drawApproximate() {
    if (!this.tiles) return;
    const [rows, columns] = this.about.shape;
    this.imagePanel.setPlane(this.tiles.make(this.state.detectors), this.scanAxes, rows, columns);
    const { step } = this.tiles.tiles;
    this.setStatus("rough", step > 1 ? `approximate, every ${step}th position` : "approximate");
    this.drawProfile();
    this.readPosition();
  }

  computeExactly() {
    this.exactImages.insist(formatDetectors(this.state.detectors));
    show(this.exactButton, false);
  }

  async loadImage(detectors, signal) {
    const timer = setTimeout(() => this.setStatus("rough", this.tiles ? "approximate, computing" : "computing"), 150);
    try {
      const plane = await this.transport.image(detectors, signal, (share) => {
        this.setStatus("rough", `${this.tiles ? "approximate, " : ""}computing ${Math.round(100 * share)} %`);
      });
      if (signal.aborted) return;
      this.setImage(plane);
      this.setStatus("exact", "exact");
    } finally {
      clearTimeout(timer);
    }
  }

  setStatus(kind, text) {
    this.status.className = `status ${kind}`;
    this.status.textContent = text;
  }

  presetName() {
    const text = formatDetectors(this.state.detectors);
    const found = PRESETS.find(([name]) => this.about.presets[name] && formatDetectors(parseDetectors(this.about.presets[name])) === text);
    return found ? found[0] : "";
  }

  // ----- the pattern

  async loadPattern(signal) {
    const { y, x, region } = this.state;
    const plane = region ? await this.transport.mean(region, signal) : await this.transport.pattern(y, x, signal);
    this.pattern = plane;
    this.showPattern();
  }

  patternFailed(error) {
    this.pattern = null;
    this.patternPanel.plane = null;
    const { canvas } = this.patternPanel;
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    this.patternRead.textContent = error.message;
    this.frame.say(error.message, true);
  }

  showPattern() {
    if (!this.pattern) return;
    let plane = this.pattern;
    if (this.badMask && this.state.bad && plane.values.length === this.badMask.length) {
      const values = Float64Array.from(plane.values);
      this.badMask.forEach((bad, i) => { if (bad) values[i] = NaN; });
      plane = { ...plane, values };
    }
    this.patternPanel.setPlane(plane, this.detectorAxes, this.detectorAxes[0].size, this.detectorAxes[1].size);
    this.drawProfile();
  }

  patternName() {
    const { y, x, region } = this.state;
    return region ? `mean-${region.join("-")}` : `pattern-${y}-${x}`;
  }

  // ----- what changes the store

  /** Calibrates the store; the page begins again in its new units, looking at the same. */
  async calibrate(what, ring) {
    try {
      if (what === "calibration" && !ring) throw new Error("choose a disk or ring with a rim first");
      const about = await this.transport.change(what, ring);
      this.state = { ...this.state, detectors: carryOver(this.state.detectors, this.detectorAxes, about.axes.slice(2)) };
      this.writeAddress();
      location.reload();
    } catch (error) {
      this.frame.say(error.message, true);
    }
  }

  // ----- what the pointer does

  setTool(panel, tool) {
    this.tool[panel] = tool;
    this.drawLists();
  }

  onImage(kind, point, event) {
    const [rows, columns] = this.about.shape;
    const y = Math.min(rows - 1, Math.max(0, Math.floor(point.y))), x = Math.min(columns - 1, Math.max(0, Math.floor(point.x)));
    if (kind === "hover" || kind === "leave") return this.readPosition(kind === "hover" ? { y, x } : null);
    if (kind === "down") {
      const tool = event.shiftKey ? "region" : this.tool.image;
      this.drag = { tool, from: point, y, x, state: this.state };
    }
    if (!this.drag) return undefined;
    if (kind === "cancel") return this.cancelDrag();
    const live = kind !== "up";
    if (this.drag.tool === "profile") this.dragProfile("image", point, live);
    else if (this.drag.tool === "region") {
      const ends = [Math.min(y, this.drag.y), Math.min(x, this.drag.x), Math.max(y, this.drag.y) + 1, Math.max(x, this.drag.x) + 1];
      if (String(ends) !== String(this.state.region) || !live) this.update({ region: ends }, live);
    } else if (y !== this.state.y || x !== this.state.x || this.state.region || !live) this.update({ y, x, region: null }, live);
    if (kind === "up") this.drag = null;
    return undefined;
  }

  onPattern(kind, point) {
    const axes = this.detectorAxes;
    const { canvas } = this.patternPanel;
    if (kind === "hover" || kind === "leave") {
      this.readDetector(kind === "hover" ? point : null);
      const over = kind === "hover" && grab(this.state.detectors, point, point.zoom, ...axes);
      canvas.style.cursor = this.tool.pattern === "profile" ? "crosshair" : over ? (over.name === "center" ? "move" : "pointer") : "default";
      return;
    }
    if (kind === "down") {
      const held = this.tool.pattern === "profile" ? null : grab(this.state.detectors, point, point.zoom, ...axes);
      this.drag = { tool: this.tool.pattern, held, from: point, before: this.state.detectors, state: this.state };
      if (held) this.chosen = held.number;
    }
    if (!this.drag) return;
    if (kind === "cancel") {
      this.cancelDrag();
      return;
    }
    const live = kind !== "up";
    if (this.drag.tool === "profile") this.dragProfile("pattern", point, live);
    else if (this.drag.held) {
      const { held, from, before } = this.drag;
      const detectors = before.map((each, i) => (i === held.number ? ordered(dragged(each, held.name, from, point, ...axes), ...axes) : each));
      if (formatDetectors(detectors) !== formatDetectors(this.state.detectors) || !live) this.update({ detectors }, live);
      this.readDetector(point);
    }
    if (kind === "up") this.drag = null;
  }

  cancelDrag() {
    this.update(this.drag.state);
    this.drag = null;
  }

  dragProfile(panel, point, live) {
    const { from } = this.drag;
    const line = [from.y, from.x, point.y, point.x];
    if (Math.hypot(line[2] - line[0], line[3] - line[1]) < 1) return;
    this.update({ profile: { panel, line } }, live);
    if (!live) this.setTool(panel, "");
  }

  addDetector(shape) {
    const first = this.about.presets.total_intensity;
    const [y, x] = first ? parseDetectors(first)[0].numbers : [0, 0];
    this.chosen = this.state.detectors.length;
    this.update({ detectors: [...this.state.detectors, newDetector(shape, this.about, [y, x])] });
  }

  onKey(event) {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      this.update({ region: null, profile: null });
      return;
    }
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    const by = event.shiftKey ? 10 : 1;
    const [rows, columns] = this.about.shape;
    const y = Math.min(rows - 1, Math.max(0, this.state.y + by * step[0])), x = Math.min(columns - 1, Math.max(0, this.state.x + by * step[1]));
    this.update({ y, x, region: null });
  }

  // ----- what is read off

  readPosition(place = null) {
    const { y, x } = place || this.state;
    const [yAxis, xAxis] = this.scanAxes;
    const plane = this.imagePanel.plane;
    const step = plane ? plane.step || 1 : 1;
    const value = plane ? (plane.sizes || plane.values)[Math.floor(y / step) * plane.width + Math.floor(x / step)] : NaN;
    const where = yAxis.units === "pixel" ? "" : ` · ${formatLength(positionOf(yAxis, y), yAxis.units)}, ${formatLength(positionOf(xAxis, x), xAxis.units)}`;
    this.imageRead.textContent = `y ${y}, x ${x}${where}${Number.isFinite(value) ? ` · ${this.isExact ? "" : "about "}${formatNumber(value, 6)}` : ""}`;
  }

  readDetector(point) {
    const [yAxis, xAxis] = this.detectorAxes;
    const i = point ? Math.floor(point.y) : -1, j = point ? Math.floor(point.x) : -1;
    if (!(i >= 0 && i < yAxis.size && j >= 0 && j < xAxis.size)) {
      this.patternRead.textContent = "\u00a0";
      return;
    }
    const [cy, cx] = this.about.presets.total_intensity ? parseDetectors(this.about.presets.total_intensity)[0].numbers : [0, 0];
    const radius = Math.hypot(positionOf(yAxis, point.y - 0.5) - cy, positionOf(xAxis, point.x - 0.5) - cx);
    const spacing = /^1\/(nm|Å|pm|µm)$/.exec(xAxis.units);
    const from = `${formatLength(radius, xAxis.units)} from the center${spacing && radius > 0 ? `, d ${formatLength(1 / radius, spacing[1])}` : ""}`;
    const plane = this.patternPanel.plane;
    const bin = plane ? plane.step || 1 : 1;
    const value = plane ? plane.values[Math.floor(i / bin) * plane.width + Math.floor(j / bin)] : NaN;
    this.patternRead.textContent = `y ${i}, x ${j} · ${from} · ${Number.isNaN(value) ? "bad pixel" : formatNumber(value, 6)}`;
  }

  drawProfile() {
    const { profile } = this.state;
    if (!profile) return;
    const panel = profile.panel === "image" ? this.imagePanel : this.patternPanel;
    if (!panel.plane || panel.plane.sizes) return;
    const axis = panel.axes[1], [y0, x0, y1, x1] = profile.line;
    const values = profileOf(panel.plane, profile.line);
    const length = Math.hypot((y1 - y0) * aspectOf(...panel.axes), x1 - x0) * Math.abs(axis.scale);
    this.curve.set(values, 0, length / (values.length - 1), axis.units);
  }

  overImage(context, view) {
    const { state } = this;
    if (state.region) drawRegion(context, view, state.region);
    else drawPosition(context, view, state.y, state.x);
    if (state.profile && state.profile.panel === "image") drawLine(context, view, state.profile.line);
  }

  overPattern(context, view) {
    const { state } = this;
    drawDetectors(context, view, state.detectors, this.chosen, ...this.detectorAxes);
    if (state.profile && state.profile.panel === "pattern") drawLine(context, view, state.profile.line);
  }
}

// Calibration by the chosen ring: onto a known spacing, or around the central disk.

import { button, make } from "./dom.js";
import { outline, pixelSize } from "./detectors.js";
import { pixelOf, positionOf } from "./units.js";

/** Returns what the server needs to know of a ring, in pixels; null where the chosen one is none. */
export function ringOf(detector, yAxis, xAxis) {
  if (!detector || detector.shape !== "ring" || !Number.isFinite(detector.numbers[3])) return null;
  const { y, x, outerY, outerX } = outline(detector, yAxis, xAxis);
  return { center_y: y - 0.5, center_x: x - 0.5, radius: Math.sqrt(outerY * outerX) };
}

/** Returns detectors where they were on the detector, in the units of its new axes. */
export function carryOver(detectors, before, after) {
  const move = (i, value) => positionOf(after[i], pixelOf(before[i], value));
  const ratio = pixelSize(...after) / pixelSize(...before);
  return detectors.map((each) => {
    const [first, second, third, fourth] = each.numbers;
    const rest = each.shape === "rect" ? [move(0, third), move(1, fourth)] : [third * ratio, fourth * ratio];
    return { ...each, numbers: [move(0, first), move(1, second), ...rest] };
  });
}

/** Returns the part of the page that calibrates. `send(what, ring)` and `ring()` are the page's. */
export function calibrationSection(send, ring) {
  const field = (label, placeholder) => make("input", { type: "text", inputmode: "decimal", "aria-label": label, placeholder, autocomplete: "off" });
  const spacing = field("Known spacing in nm", "0.224"), angle = field("Semi-angle of convergence in mrad", "20");
  const set = (kind, input) => () => {
    const value = Number(input.value.trim().replace(",", ".") || NaN), found = ring();
    input.classList.toggle("wrong", !(value > 0));
    if (value > 0) send("calibration", found && { kind, value, ...found });
  };
  const row = (text, input, units, action) => make("div", { class: "row calibration" },
    make("label", {}, make("span", { class: "soft" }, text), input, make("span", { class: "soft" }, units)), action);
  return make("section", { "aria-label": "Calibration" }, make("h2", {}, "Calibrate"),
    make("p", { class: "soft" }, "Put the outer rim of the chosen ring on reflections of a known spacing, or around the central disk."),
    row("Spacing", spacing, "nm", button("Set", set("spacing", spacing), "The rim is on reflections of this spacing")),
    row("Semi-angle", angle, "mrad", button("Set", set("disk", angle), "The rim is that of the central disk")),
    make("div", { class: "row" }, button("Undo", () => send("undo", null), "Puts back what the last calibration changed")));
}

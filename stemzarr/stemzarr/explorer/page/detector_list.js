// The list of detectors: signs, shapes, and their numbers, typed.

import { button, make } from "./dom.js";
import { pixelSize, rounded } from "./detectors.js";

const RING_FIELDS = ["center y", "center x", "inner", "outer"];
const RECT_FIELDS = ["top", "left", "bottom", "right"];

/** Returns a new detector of a shape in the middle of what is shown. */
export function newDetector(shape, about, center) {
  const [yAxis, xAxis] = about.axes.slice(2);
  const size = pixelSize(yAxis, xAxis) * Math.min(yAxis.size, xAxis.size);
  const [y, x] = center;
  const numbers = {
    disk: [y, x, 0, size * 0.08],
    ring: [y, x, size * 0.15, size * 0.3],
    rect: [y - size * 0.08, x - size * 0.08, y + size * 0.08, x + size * 0.08],
  }[shape];
  return { sign: 1, shape: shape === "rect" ? "rect" : "ring", numbers: numbers.map(rounded) };
}

/** Draws the list into `root`; `onChange(detectors)` gets what the person made of it. */
export function drawDetectorList(root, detectors, chosen, axis, onChange, onChoose) {
  root.detectors = detectors;
  const looks = detectors.map((each, i) => `${each.shape} ${each.sign} ${each.numbers[2] > 0} ${i === chosen}`).join();
  if (root.dataset.looks === looks) {
    // While one is dragged, only its numbers change; what is being typed in keeps its place.
    detectors.forEach((detector, i) => fillInputs(root.children[i], detector, document.activeElement, axis));
    return;
  }
  root.dataset.looks = looks;
  root.replaceChildren(...detectors.map((detector, i) => {
    const change = (make) => onChange(root.detectors.map((each, j) => (j === i ? make(each) : each)));
    return detectorRow(detector, i === chosen, axis, change,
      () => onChange(root.detectors.filter((_, j) => j !== i)), () => onChoose(i));
  }));
}

function detectorRow(detector, isChosen, axis, change, remove, choose) {
  const units = axis.units === "pixel" ? "px" : axis.units;
  const ring = detector.shape === "ring";
  const fields = (ring ? RING_FIELDS : RECT_FIELDS).map((name, i) => make("label", {},
    make("span", {}, name),
    make("input", {
      type: "text", inputmode: "decimal", value: numberText(detector.numbers[i], axis), autocomplete: "off",
      onchange: (event) => {
        const value = readNumber(event.target.value, ring && i === 3);
        event.target.classList.toggle("wrong", value === null);
        if (value !== null) change((now) => ({ ...now, numbers: now.numbers.map((old, j) => (j === i ? value : old)) }));
      },
    })));
  const kind = ring ? (detector.numbers[2] > 0 ? "Ring" : "Disk") : "Rectangle";
  const row = make("li", { class: isChosen ? "detector chosen" : "detector", onpointerdown: choose },
    make("div", { class: "row" },
      make("button", {
        type: "button", class: detector.sign > 0 ? "sign plus" : "sign minus",
        title: "Whether its counts are added or subtracted", onclick: () => change((now) => ({ ...now, sign: -now.sign })),
      }, detector.sign > 0 ? "+" : "−"),
      make("strong", {}, kind), make("span", { class: "soft" }, units),
      make("span", { class: "space" }), button("×", remove, "Remove")),
    make("div", { class: "fields" }, ...fields));
  return row;
}

function fillInputs(row, detector, active, axis) {
  row.querySelectorAll("input").forEach((input, i) => {
    if (input !== active) input.value = numberText(detector.numbers[i], axis);
  });
}

/** Returns a length as fine as a thousandth of a pixel. */
function numberText(value, axis) {
  if (value === Infinity) return "∞";
  const digits = Math.max(0, Math.min(12, 3 - Math.floor(Math.log10(Math.abs(axis.scale)))));
  return String(Number(value.toFixed(digits)));
}

function readNumber(text, mayBeInfinite) {
  const word = text.trim().replace(",", ".").replace("−", "-");
  if (mayBeInfinite && ["∞", "inf", ""].includes(word)) return Infinity;
  return word !== "" && Number.isFinite(Number(word)) ? Number(word) : null;
}

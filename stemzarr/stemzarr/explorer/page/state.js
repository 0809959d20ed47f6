// What is being looked at. All of it is in the address after the #, so that every view is a link.

import { defaultDisplay } from "./levels.js";
import { MAP_NAMES } from "./colours.js";
import { formatDetectors, parseDetectors } from "./detectors.js";

/** What the image of a scan can be. */
export const SHOWN = ["detectors", "like", "com_y", "com_x", "com_magnitude", "dpc"];
const SCALES = ["linear", "log", "gamma"];

/** Returns the state of a page that was opened without any. */
export function initialState(about) {
  const [rows, columns] = about.shape;
  return {
    y: Math.floor((rows - 1) / 2), x: Math.floor((columns - 1) / 2), region: null,
    detectors: about.presets.bright_field ? parseDetectors(about.presets.bright_field) : [],
    index: 0, profile: null, bad: false, show: "detectors",
    image: defaultDisplay("gray", "linear"), pattern: defaultDisplay("viridis", "log"),
  };
}

/** Returns the text after the # of an address for a state. */
export function writeState(state, about) {
  const parts = [];
  if (about.kind === "4d-stem" || about.kind === "spectrum-image") parts.push(`y=${state.y}`, `x=${state.x}`);
  if (state.region) parts.push(`region=${state.region.join(",")}`);
  if (state.detectors.length) parts.push(`detectors=${formatDetectors(state.detectors)}`);
  if (state.index) parts.push(`index=${state.index}`);
  if (state.profile) parts.push(`profile=${state.profile.panel},${state.profile.line.map((v) => Number(v.toFixed(2))).join(",")}`);
  if (state.bad) parts.push("bad=hidden");
  if (state.show !== "detectors") parts.push(`show=${state.show}`);
  for (const name of ["image", "pattern"]) {
    const display = state[name];
    const numbers = [display.gamma, display.low ?? "", display.high ?? ""].join(",");
    parts.push(`${name}=${display.map.replace(" ", "_")},${display.scale},${numbers}`);
  }
  return parts.join("&");
}

/** Returns a state with what an address says; what it says wrongly is left as it was. */
export function readState(text, state, about) {
  const given = new Map();
  for (const part of text.split("&")) {
    const [name, ...rest] = part.split("=");
    try { given.set(name, decodeURIComponent(rest.join("="))); } catch { /* not ours */ }
  }
  const read = { ...state };
  const [rows, columns] = about.shape;
  read.y = wholeNumber(given.get("y"), rows, state.y);
  read.x = wholeNumber(given.get("x"), columns, state.x);
  read.index = wholeNumber(given.get("index"), Number.MAX_SAFE_INTEGER, 0);
  read.bad = given.get("bad") === "hidden";
  read.show = SHOWN.includes(given.get("show")) ? given.get("show") : "detectors";
  read.region = readRegion(given.get("region"), rows, columns);
  read.profile = readProfile(given.get("profile"));
  const detectors = parseDetectors(given.get("detectors") || "");
  if (detectors.length) read.detectors = detectors;
  for (const name of ["image", "pattern"]) read[name] = readDisplay(given.get(name), state[name]);
  return read;
}

function wholeNumber(text, end, otherwise) {
  const number = text ? Number(text) : NaN;
  return Number.isInteger(number) && number >= 0 && number < end ? number : otherwise;
}

function finiteNumbers(text, count) {
  const numbers = (text || "").split(",").map(Number);
  return text && numbers.length === count && numbers.every(Number.isFinite) ? numbers : null;
}

function readRegion(text, rows, columns) {
  const ends = finiteNumbers(text, 4);
  if (!ends || !ends.every(Number.isInteger)) return null;
  const [top, left, bottom, right] = ends;
  return 0 <= top && top < bottom && bottom <= rows && 0 <= left && left < right && right <= columns ? ends : null;
}

function readProfile(text) {
  const [panel, ...rest] = (text || "").split(",");
  const line = finiteNumbers(rest.join(","), 4);
  return line && (panel === "image" || panel === "pattern") ? { panel, line } : null;
}

function readDisplay(text, otherwise) {
  const [map, scale, gamma, low, high] = (text || "").split(",");
  const name = (map || "").replace("_", " ");
  if (!MAP_NAMES.includes(name) || !SCALES.includes(scale)) return otherwise;
  const level = (word) => (word && Number.isFinite(Number(word)) ? Number(word) : null);
  return { map: name, scale, gamma: Math.min(5, Math.max(0.05, level(gamma) ?? 0.5)), low: level(low), high: level(high) };
}

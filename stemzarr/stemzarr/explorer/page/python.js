// The Python that makes a picture again, exactly: what Copy puts on the clipboard.

import { positionOf } from "./units.js";

function quoted(text) {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function openLines(about) {
  if (!about.path) return ["# `scan` is the Dataset that is explored", ""];
  const document = about.main ? "" : `, document=${quoted(about.document)}`;
  return ["import stemzarr", "", `scan = stemzarr.open(${quoted(about.path)}${document})`];
}

function number(value) {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** Returns the pixels of an axis whose centres are at least `low` and less than `high`. */
function pixelSpan(axis, low, high) {
  let start = 0, stop = 0;
  for (let i = 0; i < axis.size; i++) {
    const position = positionOf(axis, i);
    if (!(position >= low && position < high)) continue;
    if (stop === 0) start = i;
    stop = i + 1;
  }
  return `${axis.name}=${start}:${stop}`;
}

function detectorCall(detector, yAxis, xAxis) {
  const [first, second, third, fourth] = detector.numbers;
  if (detector.shape === "rect") {
    const spans = `${pixelSpan(yAxis, first, third)},${pixelSpan(xAxis, second, fourth)}`;
    return `scan.stem.view(roi=${quoted(spans)}).stem.virtual_image()`;
  }
  if (!(third > 0) && fourth === Infinity) return "scan.stem.virtual_image()";
  const parts = [];
  if (third > 0) parts.push(`inner=${number(third)}`);
  if (fourth !== Infinity) parts.push(`outer=${number(fourth)}`);
  parts.push(`center=(${number(first)}, ${number(second)})`);
  return `scan.stem.virtual_image(${parts.join(", ")})`;
}

/** Returns the command that saves a region of a scan as a file. */
export function exportCommand(about, [top, left, bottom, right], suffix) {
  const word = (text) => (/^[\w./@%+=:,-]+$/.test(text) ? text : `"${text.replace(/(["\\$`])/g, "\\$1")}"`);
  const document = about.main ? "" : ` --document ${about.document}`;
  const dest = word(`${about.name}-y${top}-${bottom}-x${left}-${right}.${suffix}`);
  return `stemzarr export ${word(about.path)} ${dest}${document} --roi scan_y=${top}:${bottom},scan_x=${left}:${right}`;
}

/** Returns lines that draw shifts as colours, `top` the brightest. */
function pythonOfShifts(about, top) {
  return [...openLines(about), "import numpy as np", "import xarray as xr", "",
    "field = scan.stem.dpc(rotation=0.0, flip=False)",
    "angle = np.arctan2(field.com_y, field.com_x).fillna(0)",
    `share = (np.hypot(field.com_y, field.com_x) / ${number(top || 1)}).fillna(0).clip(0, 1)`,
    'thirds = xr.DataArray(2 * np.pi * np.arange(3) / 3, dims="channel")',
    'image = (share * (0.5 + 0.5 * np.cos(angle - thirds))).rename("direction")',
    'image.plot.imshow(rgb="channel", yincrease=False)'].join("\n");
}

/** Returns lines that compute the image that is shown, and draw it as it is drawn here. */
export function pythonOfImage(about, { show, detectors, y, x }, display, levels, top = 0) {
  if (show === "dpc") return pythonOfShifts(about, top);
  const other = {
    like: [`image = scan.stem.likeness((${y}, ${x}))`],
    com_y: ["image = scan.stem.center_of_mass().com_y"], com_x: ["image = scan.stem.center_of_mass().com_x"],
    com_magnitude: ["shift = scan.stem.center_of_mass()", "image = (shift.com_y**2 + shift.com_x**2) ** 0.5"],
  }[show];
  if (other) return [...openLines(about), ...other, ...drawLines("image", display, levels)].join("\n");
  const [yAxis, xAxis] = about.axes.slice(2);
  const calls = detectors.map((each) => detectorCall(each, yAxis, xAxis));
  const plain = detectors.length === 1 && detectors[0].sign > 0;
  const sum = plain ? calls[0]
    : `(\n${calls.map((call, i) => `    ${detectors[i].sign > 0 ? "+" : "-"} ${call}.astype(float)`).join("\n")}\n)`;
  return [...openLines(about), `image = ${sum}`, ...drawLines("image", display, levels)].join("\n");
}

/** Returns lines that read a pattern, or the mean pattern of a region, and draw it. */
export function pythonOfPattern(about, state, display, levels) {
  const region = state.region;
  const pattern = region
    ? `scan.intensity[${region[0]}:${region[2]}, ${region[1]}:${region[3]}].mean(("scan_y", "scan_x"))`
    : `scan.intensity[${state.y}, ${state.x}]`;
  return [...openLines(about), `pattern = ${pattern}`, ...drawLines("pattern", display, levels)].join("\n");
}

/** Returns lines that read what is no scan. */
export function pythonOfPlane(about, index, lead) {
  const place = [];
  let rest = index;
  for (const length of [...lead].reverse()) {
    place.unshift(rest % length);
    rest = Math.floor(rest / length);
  }
  const indexed = place.length ? `[${place.join(", ")}]` : "";
  return [...openLines(about), `values = scan.intensity${indexed}`, "values.plot(yincrease=False)"].join("\n");
}

function drawLines(name, display, [low, high, strength]) {
  const map = display.map === "gray inverted" ? "gray_r" : display.map;
  const lines = [];
  let ends = `vmin=${number(low)}, vmax=${number(high)}`;
  if (display.scale === "gamma") {
    lines.push("from matplotlib.colors import PowerNorm");
    ends = `norm=PowerNorm(${number(display.gamma)}, ${ends}, clip=True)`;
  } else if (display.scale === "log") {
    lines.push("import numpy as np", "from matplotlib.colors import FuncNorm", "",
      `low, high = ${number(low)}, ${number(high)}`,
      `stretch = lambda v: np.log1p(${strength} * np.clip((v - low) / (high - low), 0, 1))`,
      `restore = lambda s: low + np.expm1(s) / ${strength} * (high - low)`);
    ends = "norm=FuncNorm((stretch, restore), vmin=low, vmax=high)";
  }
  return [...lines, `${name}.plot.imshow(cmap=${quoted(map)}, ${ends}, yincrease=False)`];
}

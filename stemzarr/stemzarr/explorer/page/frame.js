// What every page has around its pictures: header, messages, copying, saving, facts.

import { button, make, saveFile, select, show } from "./dom.js";
import { encodeTiff } from "./tiff.js";
import { formatNumber } from "./units.js";

const UNIT_WORDS = { keV: "keV", mm: "mm", mrad: "mrad", s: "s", nA: "nA", deg: "°" };

/** Returns a fact as a name and a value for people. */
export function factWords(name, value) {
  if (name === "magnification" && typeof value === "number") return [name, `${value.toLocaleString("en-US")} ×`];
  const unit = UNIT_WORDS[name.split("_").pop()];
  const label = unit ? name.replace(/_[A-Za-z]+$/, "") : name;
  const number = typeof value === "number" ? formatNumber(value, 5) : String(value);
  return [label.replaceAll("_", " "), unit ? `${number}${unit === "°" ? "" : " "}${unit}` : number];
}

/** The page around the pictures. */
export class Frame {
  constructor(root, about, home) {
    this.message = make("div", { class: "message", role: "status" });
    this.about = about;
    const titles = make("div", { class: "titles" },
      make("h1", {}, about.name), make("div", { class: "soft line" }, this.summary()));
    const documents = about.documents.length > 1
      ? select("Document", about.documents.map((each) => [each.slug, `${each.title || each.slug} (${each.kind})`]), (slug) => this.go(slug))
      : null;
    if (documents) documents.value = about.document;
    this.main = make("main", {});
    root.replaceChildren(
      make("header", {}, home ? make("a", { href: home, class: "home", title: "All scans" }, "‹ lake") : null,
        titles, make("span", { class: "space" }), documents,
        location.protocol === "about:" ? null : button("Copy link", () => this.copy(location.href, "The link to this view is copied"), "Every setting is in the address")),
      this.main, this.message);
    show(this.message, false);
    document.title = about.name;
  }

  summary() {
    const { about } = this;
    const energy = about.facts.beam_energy_keV;
    return [about.title === about.name ? "" : about.title, about.kind, about.shape.join(" × "), about.dtype,
      energy ? `${formatNumber(energy)} keV` : "", about.complete ? "" : "incomplete: the source ends early"].filter(Boolean).join(" · ");
  }

  go(slug) {
    const query = new URLSearchParams(location.search);
    query.set("document", slug);
    location.href = `?${query}`;
  }

  /** Says something for a while. */
  say(text, wrong = false) {
    this.message.textContent = text;
    this.message.classList.toggle("wrong", wrong);
    show(this.message, true);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => show(this.message, false), wrong ? 9000 : 2500);
  }

  async copy(text, message) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", {});
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    this.say(message);
  }

  /** Returns buttons that copy and save what a panel shows, and `more` of them. */
  actions(panel, name, python, ...more) {
    const file = (suffix) => `${this.about.name}-${name()}.${suffix}`.replace(/[^\w.-]+/g, "_");
    return make("div", { class: "row actions" },
      button("Copy Python", () => this.copy(python(), "The Python that makes this picture is copied")),
      button("PNG", () => panel.figure().toBlob((blob) => saveFile(file("png"), blob, "image/png")), "Save the picture with its scale bar"),
      this.about.channels && this.about.channels.length ? null : button("TIFF", () => this.saveTiff(panel, file("tif")),
        "Save the values as float32, calibrated for ImageJ"), ...more);
  }

  saveTiff(panel, name) {
    if (!panel.plane) this.say("there is nothing to save yet", true);
    else if (panel.plane.channels > 2) this.say("colours are no values: save CoM y and CoM x", true);
    else saveFile(name, encodeTiff(panel.plane, ...this.coarse(panel)), "image/tiff");
  }

  coarse(panel) {
    const step = panel.plane.step || 1;
    return panel.axes.map((axis) => (axis ? { ...axis, scale: axis.scale * step } : null));
  }

  /** Returns the facts and notes of the source. */
  facts() {
    const rows = Object.entries(this.about.facts).map(([name, value]) => factWords(name, value));
    for (const axis of this.about.axes) {
      const units = axis.units === "pixel" ? "px" : axis.units;
      rows.push([axis.name, `${axis.size} × ${formatNumber(axis.scale, 5)} ${units}${axis.calibrated ? "" : " (not calibrated)"}`]);
    }
    return make("details", {}, make("summary", {}, "Facts"),
      make("table", {}, make("tbody", {}, ...rows.map(([name, value]) =>
        make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value))))),
      ...this.about.notes.map((note) => make("p", { class: "soft" }, note)));
  }
}

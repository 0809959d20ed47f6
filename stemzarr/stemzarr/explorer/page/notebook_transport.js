// A notebook: the page is in a frame of it, and asks the kernel by messages through that frame.

import { formatDetectors, parseDetectors } from "./detectors.js";
import { ReadableError, ServerTransport, toTyped } from "./transport.js";

/** Asks the kernel by messages. */
export class NotebookTransport extends ServerTransport {
  constructor() {
    super("", "");
    this.prefix = Math.random().toString(36).slice(2);
    this.count = 0;
    this.waiting = new Map();
    this.progress = () => {};
    addEventListener("message", ({ source, data }) => {
      if (source !== parent || !data) return;
      if (data.change) this.link.follow(data.change);
      else this.answered(data);
    });
    this.link = new WidgetLink();
  }

  answered({ id, array, tiles, error, hint, stopped, share, data }) {
    const found = this.waiting.get(id);
    if (!found) return;
    if (share !== undefined) {
      this.progress(share);
      return;
    }
    this.waiting.delete(id);
    if (stopped) found.reject(new DOMException("stopped", "AbortError"));
    else if (error) found.reject(new ReadableError(error, hint || ""));
    else found.resolve({ array, tiles, data });
  }

  async array(what, parameters = {}) {
    const id = `${this.prefix}-${this.count++}`;
    const answer = await new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      parent.postMessage({ ask: { id, what, parameters } }, "*");
    });
    const [type, shape] = answer.array.split(" ");
    return { values: toTyped(type, answer.data), shape: shape.split(",").map(Number), tiles: answer.tiles };
  }

  watched(what, progress, act) {
    this.progress = progress;
    return act();
  }
}

/** What is looked at as traits of the notebook's widget, both ways. */
class WidgetLink {
  constructor() {
    this.follow = () => {};
    this.sent = "";
    this.detectors = "";
  }

  read() { return ""; }

  write(_, state) {
    const traits = { position: [state.y, state.x], region: state.region || [], detectors: formatDetectors(state.detectors) };
    const text = JSON.stringify(traits);
    if (text !== this.sent) parent.postMessage({ traits }, "*");
    this.sent = text;
    this.detectors = traits.detectors;
  }

  /** Calls `follow` with what the kernel has changed. */
  listen(_, follow) {
    this.follow = ({ position: [y, x], region, detectors }) => {
      const more = detectors === this.detectors ? {} : { detectors: parseDetectors(detectors) };
      follow({ y, x, region: region.length ? region : null, ...more });
    };
    parent.postMessage({ ready: true }, "*"); // what was set before now is followed
  }
}

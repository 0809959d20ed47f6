// The decoder as the page uses it: workers, started before they are needed.

import { DamagedError } from "./damaged.js";

const MOST_WORKERS = 4;

/** Decodes chunks in workers. */
export class Decoder {
  constructor() {
    const inline = document.getElementById("worker-source");
    const address = inline ? URL.createObjectURL(new Blob([inline.textContent], { type: "text/javascript" })) : "worker.js";
    const count = Math.max(1, Math.min(MOST_WORKERS, (navigator.hardwareConcurrency || 2) - 1));
    this.waiting = new Map();
    this.count = 0;
    this.workers = Array.from({ length: count }, () => {
      const worker = new Worker(address, inline ? {} : { type: "module" });
      worker.onmessage = ({ data }) => this.answered(data);
      worker.onerror = () => this.failed();
      return worker;
    });
  }

  answered({ id, result, error }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error) reject(new DamagedError(error)); else resolve(result);
  }

  failed() {
    for (const { reject } of this.waiting.values()) reject(new DamagedError("the decoder does not run"));
    this.waiting.clear();
  }

  /** Returns the values of a chunk, or the sums of its `count` patterns under a mask. */
  decode(bytes, { codec, size, type }, mask = null, count = 0) {
    const id = this.count++;
    const copy = codec === "blosc" && !this.warmed ? bytes.slice() : null;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.workers[id % this.workers.length].postMessage({ id, bytes, codec, size, type, mask, count }, [bytes.buffer]);
      if (copy) this.warm({ bytes: copy, codec, size });
    });
  }

  /** Lets every worker decode one chunk a few times: what has run often enough is compiled, and quick. */
  warm(chunk) {
    this.warmed = true;
    for (const worker of this.workers) worker.postMessage({ warm: true, ...chunk });
  }
}

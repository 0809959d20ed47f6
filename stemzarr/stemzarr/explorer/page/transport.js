// Where numbers come from. Every transport has the same methods; a plane is {values, height, width}.

const ARRAY_TYPES = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array,
  int32: Int32Array, float32: Float32Array, float64: Float64Array,
};

/** An error that says what is wrong in words for a person. */
export class ReadableError extends Error {
  constructor(message, hint = "") {
    super(hint ? `${message} (${hint})` : message);
    this.name = "ReadableError";
  }
}

/** Returns bytes as values of a type. */
export function toTyped(type, buffer) {
  return new ARRAY_TYPES[type](buffer);
}

/** Returns a plane of a flat array and its shape; further dims are channels. */
export function toPlane(values, shape) {
  const [height, width, channels] = shape.length === 1 ? [1, shape[0], 1] : [shape[0], shape[1], shape[2] || 1];
  return { values, height, width, channels };
}

/** Asks the server that sent the page. */
export class ServerTransport {
  constructor(name, slug) {
    const page = Math.random().toString(36).slice(2);
    this.query = new URLSearchParams({ name, document: slug, page });
    this.unaskedBytes = 4 * 1024 ** 3;
  }

  async ask(what, parameters = {}, signal = null, body = null) {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(parameters)) query.set(name, value);
    let answer;
    try {
      answer = await fetch(`api/${what}?${query}`, { signal, method: body === null ? "GET" : "POST", body });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ReadableError("the server does not answer", "start stemzarr explore again");
    }
    if (answer.ok) return answer;
    const wrong = await answer.json().catch(() => ({ error: `the server answers ${answer.status}` }));
    if (wrong.stopped) throw new DOMException("stopped", "AbortError");
    throw new ReadableError(wrong.error, wrong.hint);
  }

  async array(what, parameters, signal) {
    const answer = await this.ask(what, parameters, signal);
    const [type, shape] = answer.headers.get("Stemzarr-Array").split(" ");
    const values = toTyped(type, await answer.arrayBuffer());
    return { values, shape: shape.split(",").map(Number), tiles: answer.headers.get("Stemzarr-Tiles") };
  }

  async plainPlane(what, parameters, signal) {
    const { values, shape } = await this.array(what, parameters, signal);
    return toPlane(values, shape);
  }

  /** Returns what there is to see: the server has put it into the page, unless something is wrong. */
  async describe() {
    const given = document.getElementById("about");
    return given ? JSON.parse(given.textContent) : (await this.ask("describe")).json();
  }

  pattern(y, x, signal) { return this.plainPlane("pattern", { y, x }, signal); }
  mean([top, left, bottom, right], signal) { return this.plainPlane("mean", { top, left, bottom, right }, signal); }
  plane(index, signal) { return this.plainPlane("plane", { index }, signal); }
  totals(signal) { return this.plainPlane("totals", {}, signal); }
  bad() { return this.plainPlane("bad"); }

  /** Returns the exact image of detectors; `progress` gets the share that is done. */
  image(detectors, signal, progress) {
    return this.watched("image", progress, () => this.plainPlane("image", { detectors }, signal));
  }

  /** Saves a region as a file of a format; returns where the browser gets it, {address, name} each. */
  async save(format, [top, left, bottom, right], signal, progress) {
    const answer = await this.watched("save", progress, () => this.ask("save", { format, top, left, bottom, right }, signal));
    const { files } = await answer.json();
    return files.map(({ key, name }) => ({ address: `file/${key}/${encodeURIComponent(name)}`, name }));
  }

  /** Changes the calibration of the store; returns what there is to see now. */
  async change(what, ring) {
    return (await this.ask(what, {}, null, JSON.stringify(ring))).json();
  }

  async watched(what, progress, act) {
    const watching = setInterval(async () => {
      const shares = await this.ask("progress").then((answer) => answer.json()).catch(() => ({}));
      if (shares[what]) progress(shares[what]);
    }, 400);
    try {
      return await act();
    } finally {
      clearInterval(watching);
    }
  }

  /** Returns the shifts of the centre of mass, {com_y, com_x} as planes. */
  async centerOfMass(signal) {
    const { values, shape: [, height, width] } = await this.array("com", {}, signal);
    const size = height * width;
    return { com_y: toPlane(values.slice(0, size), [height, width]), com_x: toPlane(values.slice(size), [height, width]) };
  }

  async tiles() {
    const { values, shape, tiles } = await this.array("tiles");
    const [tile, step, whole] = tiles.split(",").map(Number);
    const [down, across, height, width] = shape;
    return { sums: values, down, across, height, width, tile, step, whole: Boolean(whole) };
  }
}

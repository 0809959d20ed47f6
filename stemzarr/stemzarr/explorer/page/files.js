// The files of a store: on a web server, or in a folder that a person gave to the page.

import { ReadableError } from "./transport.js";

/** Files below an address. Parts are asked for by absolute ranges, which all servers with ranges know. */
export class WebFiles {
  constructor(address) {
    this.base = new URL(address.endsWith("/") ? address : `${address}/`, location.href);
  }

  get name() {
    return decodeURIComponent(this.base.pathname.split("/").filter(Boolean).pop() || "store");
  }

  async whole(path, signal = null) {
    const answer = await this.ask(path, {}, signal);
    return new Uint8Array(await answer.arrayBuffer());
  }

  async part(path, start, end, signal = null) {
    const answer = await this.ask(path, { Range: `bytes=${start}-${end - 1}` }, signal);
    if (answer.status !== 206) {
      await answer.body?.cancel();
      throw new ReadableError("this web server sends whole files only", "use one that knows Range requests, such as nginx");
    }
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (bytes.length !== end - start) throw new ReadableError(`${path} is shorter than its store says`, "copy the store again");
    return bytes;
  }

  async ask(path, headers, signal) {
    let answer;
    try {
      answer = await fetch(new URL(path, this.base), { headers, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ReadableError(`${this.name}/${path} cannot be read`, "is the web server there, and does it allow this page?");
    }
    if (!answer.ok) throw new ReadableError(`${this.name}/${path} cannot be read: ${answer.status}`, "is this the address of a store?");
    return answer;
  }
}

/** Files of a folder that was chosen or dropped. */
export class FolderFiles {
  /** `files` are File objects with the path that each has in the folder. */
  constructor(files) {
    this.files = new Map();
    const root = files.map(({ path }) => path).filter((path) => path.endsWith("zarr.json")).sort((a, b) => a.length - b.length)[0];
    if (root === undefined) throw new ReadableError("this folder is not a store", "choose the folder NAME.zarr itself");
    const prefix = root.slice(0, -"zarr.json".length);
    for (const { path, file } of files) if (path.startsWith(prefix)) this.files.set(path.slice(prefix.length), file);
    this.name = prefix.split("/").filter(Boolean).pop() || "store";
  }

  find(path) {
    const file = this.files.get(path);
    if (!file) throw new ReadableError(`${this.name}/${path} is missing`, "copy the store again");
    return file;
  }

  async whole(path) {
    return new Uint8Array(await this.find(path).arrayBuffer());
  }

  async part(path, start, end) {
    return new Uint8Array(await this.find(path).slice(start, end).arrayBuffer());
  }
}

/** Returns the files of a folder that was dropped, {path, file} each. */
export async function droppedFiles(transfer) {
  const found = [];
  const walk = async (entry, prefix) => {
    if (entry.isFile) {
      found.push({ path: prefix + entry.name, file: await new Promise((done, fail) => { entry.file(done, fail); }) });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const entries = await new Promise((done, fail) => { reader.readEntries(done, fail); });
      if (!entries.length) return;
      for (const inner of entries) await walk(inner, `${prefix}${entry.name}/`);
    }
  };
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry()).filter(Boolean);
  for (const entry of entries) await walk(entry, "");
  return found;
}

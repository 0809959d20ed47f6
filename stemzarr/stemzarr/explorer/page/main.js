// Begins: finds out where the numbers come from, and shows the page for what there is.

import { make } from "./dom.js";
import { EmbeddedTransport } from "./embedded_transport.js";
import { droppedFiles, FolderFiles, WebFiles } from "./files.js";
import { NotebookTransport } from "./notebook_transport.js";
import { ScanPage } from "./scan_page.js";
import { SimplePage } from "./simple_page.js";
import { StoreTransport } from "./store_transport.js";
import { ServerTransport } from "./transport.js";

/** Shows what cannot be shown, and why. */
function complain(root, error) {
  root.replaceChildren(make("div", { class: "trouble", role: "alert" }, make("h1", {}, "Cannot be shown"), make("p", {}, error.message)));
}

async function showPage(root, transport, home = null) {
  const about = await transport.describe();
  const Page = about.presets.total_intensity ? ScanPage : SimplePage;
  const page = new Page(root, transport, about, home);
  await page.start();
}

/** Asks for a store: a folder of this machine, or an address of the web server that sent the page. */
function askForStore(root, slug) {
  const open = (found) => {
    root.replaceChildren(make("p", { class: "trouble" }, "Opening …"));
    Promise.resolve(found).then((files) => showPage(root, new StoreTransport(new FolderFiles(files), slug))).catch((error) => complain(root, error));
  };
  const chooser = make("input", {
    type: "file", webkitdirectory: true, "aria-label": "Folder of a store",
    onchange: () => open(Array.from(chooser.files, (file) => ({ path: file.webkitRelativePath, file }))),
  });
  const address = make("input", { type: "text", name: "store", placeholder: "scan.zarr", "aria-label": "Address of a store" });
  const go = () => { if (address.value.trim()) location.search = new URLSearchParams({ store: address.value.trim() }); };
  address.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
  root.replaceChildren(make("div", { class: "trouble" }, make("h1", {}, "Open a store"),
    make("p", {}, "Drop the folder NAME.zarr here, or choose it. It is read on this machine; nothing is sent anywhere."), chooser,
    location.protocol === "file:" ? null : make("p", {}, "Or give its address on this web server:"),
    location.protocol === "file:" ? null : make("div", { class: "row" }, address, make("button", { type: "button", onclick: go }, "Open"))));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    open(droppedFiles(event.dataTransfer));
  });
}

async function begin(root) {
  const query = new URLSearchParams(location.search);
  const slug = query.get("document") || "";
  if (document.body.dataset.source === "server") {
    const name = query.get("name") || "";
    await showPage(root, new ServerTransport(name, slug), name ? "./" : null);
  } else if (document.body.dataset.source === "notebook") await showPage(root, new NotebookTransport());
  else if (document.body.dataset.source === "embedded") await showPage(root, new EmbeddedTransport());
  else if (query.get("store")) await showPage(root, new StoreTransport(new WebFiles(query.get("store")), slug));
  else askForStore(root, slug);
}

const pageRoot = document.getElementById("page");
begin(pageRoot).catch((error) => complain(pageRoot, error));

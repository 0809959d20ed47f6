// Begins: asks what there is, and shows the page for it.

import { make } from "./dom.js";
import { ScanPage } from "./scan_page.js";
import { SimplePage } from "./simple_page.js";
import { ServerTransport } from "./transport.js";

/** Shows what cannot be shown, and why. */
function complain(root, error) {
  root.replaceChildren(make("div", { class: "trouble", role: "alert" }, make("h1", {}, "Cannot be shown"), make("p", {}, error.message)));
}

async function begin(root) {
  const query = new URLSearchParams(location.search);
  const transport = new ServerTransport(query.get("name") || "", query.get("document") || "");
  const about = await transport.describe();
  const Page = about.presets.total_intensity ? ScanPage : SimplePage;
  const page = new Page(root, transport, about, query.get("name") ? "./" : null);
  await page.start();
}

const pageRoot = document.getElementById("page");
begin(pageRoot).catch((error) => complain(pageRoot, error));

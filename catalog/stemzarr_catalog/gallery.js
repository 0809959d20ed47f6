(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const about = read("about");
  let entries = read("entries");
  const page = document.getElementById("page");
  const PAGE = 60;
  const SHORT = 8;

  // Whatever comes from metadata becomes text, never markup.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined)
        element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  const number = (value) => {
    if (typeof value !== "number") return String(value);
    const short = Number.isInteger(value) ? value : Number(value.toPrecision(5));
    return Math.abs(short) >= 1e4 && Math.abs(short) < 1e15 ? short.toLocaleString("en-US") : String(short);
  };
  const bytes = (value) => {
    if (!value) return "–";
    const units = ["B", "kB", "MB", "GB", "TB"];
    const power = Math.min(4, Math.floor(Math.log10(value) / 3));
    return `${(value / 1000 ** power).toPrecision(3).replace(/\.?0+$/, "")} ${units[power]}`;
  };
  const UNITS = { keV: "keV", mm: "mm", mrad: "mrad", s: "s", nA: "nA", deg: "°" };
  const fact = (name, value) => {
    const unit = UNITS[name.split("_").pop()];
    if (name === "acquired") return String(value).replace("T", " ");
    if (name === "magnification") return `${number(value)} ×`;
    if (unit === "s" && value > 0 && value < 0.1)
      return value < 1e-4 ? `${number(value * 1e6)} µs` : `${number(value * 1e3)} ms`;
    return unit ? `${number(value)}${unit === "°" ? "" : " "}${unit}` : number(value);
  };
  const label = (name) => name.replace(/_(keV|mm|mrad|s|nA|deg)$/, "").replaceAll("_", " ");

  const FACETS = [
    ["kind", (e) => [e.kind]],
    ["folder", (e) => [e.fields.folder]],
    ["tag", (e) => e.tags],
    ["specimen", (e) => [e.facts.specimen]],
    ["beam_energy_keV", (e) => [e.facts.beam_energy_keV]],
    ["camera_length_mm", (e) => [e.facts.camera_length_mm]],
    ["instrument", (e) => [e.facts.instrument]],
    ["detector", (e) => [e.facts.detector]],
    ["operator", (e) => [e.facts.operator]],
    ["day", (e) => [(e.facts.acquired || "").slice(0, 10) || undefined]],
  ];
  const SORTS = {
    name: [(e) => e.name.toLowerCase(), 1],
    "newest first": [(e) => e.facts.acquired, -1],
    "oldest first": [(e) => e.facts.acquired, 1],
    "last ingested": [(e) => e.ingested, -1],
    "largest first": [(e) => e.size, -1],
    "beam energy": [(e) => e.facts.beam_energy_keV, -1],
    "camera length": [(e) => e.facts.camera_length_mm, 1],
  };

  let queries;
  const take = (given) => {
    entries = given;
    queries = makeQueries(about.fields, about.units, new Set(entries.flatMap((entry) => Object.keys(entry.more))));
    entries.forEach(prepare);
  };
  const prepare = (entry) => {
    entry.words = ` ${entry.said.map(queries.plain).join(" | ")} `;
    entry.values = {};
    for (const [name, get] of FACETS)
      entry.values[name] = get(entry).filter((v) => v !== undefined && v !== null).map(String);
    if (about.live) {
      const names = entry.kind === "4d-stem" ? ["bright field", "mean diffraction"] : [entry.kind];
      if (entry.more.survey_document) names.push("survey");
      entry.pictures = names.map((name, index) => [name, `api/picture?${new URLSearchParams({ name: entry.name, index })}`]);
    }
  };
  take(entries);

  const state = { text: "", sort: "name", chosen: {}, open: new Set() };
  const linked = () => {
    const name = decodeURIComponent(location.hash.slice(1));
    return entries.find((entry) => entry.name === name);
  };
  const load = () => {
    const stored = new URLSearchParams(linked() ? "" : location.hash.slice(1));
    state.text = stored.get("q") || "";
    state.sort = SORTS[stored.get("sort")] ? stored.get("sort") : "name";
    state.chosen = {};
    for (const [name] of FACETS) {
      const values = stored.getAll(name);
      if (values.length) state.chosen[name] = new Set(values);
    }
  };
  const store = () => {
    const parts = new URLSearchParams();
    if (state.text) parts.set("q", state.text);
    if (state.sort !== "name") parts.set("sort", state.sort);
    for (const [name, values] of Object.entries(state.chosen))
      for (const value of values) parts.append(name, value);
    history.replaceState(null, "", `#${parts}`);
  };

  const matches = (entry, except) => {
    for (const [name, values] of Object.entries(state.chosen))
      if (name !== except && values.size && !entry.values[name].some((v) => values.has(v)))
        return false;
    return true;
  };
  let fits = () => true;
  let fault = "";
  // A query that is still being typed leaves what was found before.
  const understand = () => {
    try {
      fits = queries.parse(state.text);
      fault = "";
    } catch (error) {
      fault = error.message;
    }
  };

  const picture = (entry, [name, data], big) =>
    make("img", {
      src: about.live || data.startsWith("./") ? data : `data:image/png;base64,${data}`, onerror: (event) => event.target.remove(), alt: `${name} of ${entry.name}`, title: name,
      loading: "lazy", class: big ? "coarse" : "",
    });
  const pictures = (entry) => {
    const box = make("div", { class: "pictures" });
    if (entry.pictures.length) box.append(...entry.pictures.slice(0, 2).map((p) => picture(entry, p, false)));
    else box.append(make("div", { class: "empty" }, "no preview"));
    return box;
  };
  const partly = (entry) => (entry.recovered
    ? `recovered ${entry.recovered.map((n) => n.toLocaleString("en-US")).join(" of ")} patterns; the rest is masked`
    : "the source ends early");
  const sizes = (entry) => `${entry.shape.join(" × ")}  ${entry.dtype}`;
  const summary = (entry) => ["beam_energy_keV", "camera_length_mm", "exposure_s"]
    .filter((n) => n in entry.facts).map((n) => fact(n, entry.facts[n])).join(" · ");

  // Of a live page, a click opens the explorer.
  const address = (entry) => `?${new URLSearchParams({ name: entry.name })}`;
  const details = (entry) => make("button", {
    class: "chip details", type: "button", onclick: (event) => { event.preventDefault(); show(entry); },
  }, "details");
  const explore = (entry) => make("a", { class: "chip details", href: address(entry) }, "explore");
  const chips = (entry, link) => make("div", { class: "chips" },
    make("span", { class: "chip kind" }, entry.kind),
    entry.fields.complete === 0
      ? make("span", { class: "chip incomplete", title: partly(entry) }, "incomplete") : null,
    ...entry.tags.map((tag) => make("span", { class: "chip" }, tag)),
    about.live ? link(entry) : null);

  const card = (entry) => make(about.live ? "a" : "button", about.live
    ? { class: "card", href: address(entry) } : { class: "card", type: "button", onclick: () => show(entry) },
    pictures(entry),
    make("div", { class: "text" },
      make("div", { class: "name" }, entry.name),
      make("div", { class: "line" }, entry.facts.specimen || entry.title || "\u00a0"),
      make("div", { class: "line" }, sizes(entry)),
      make("div", { class: "line" }, summary(entry) || "\u00a0"),
      chips(entry, details)));

  const dialog = make("dialog", { "aria-label": "entry" });
  let shown = [];
  let current = 0;
  const step = (by) => {
    if (!shown.length) return;
    current = (current + by + shown.length) % shown.length;
    fill(shown[current]);
  };
  const row = (name, value) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value));
  const fill = (entry) => {
    const rows = Object.entries(entry.facts).map(([n, v]) => row(label(n), fact(n, v)));
    for (const axis of entry.axes)
      rows.push(row(axis.name, `${axis.size} × ${number(axis.scale)} ${axis.units}` +
        (axis.calibrated ? "" : " (not calibrated)")));
    if (entry.fields.complete === 0) rows.unshift(row("incomplete", partly(entry)));
    for (const [name, value] of Object.entries(entry.own)) rows.push(row(name, number(value)));
    if (entry.remark) rows.push(row("remark", entry.remark));
    for (const [title, kind, shape] of entry.documents)
      rows.push(row("also in it", `${title}: ${kind} ${shape.join(" × ")}`));
    rows.push(row("source", `${entry.source}, ${bytes(entry.size)}, stored in ${bytes(entry.stored)}`));
    if (entry.link)
      rows.push(row("store", make("a", { href: entry.link }, entry.store || entry.name)));
    const figures = make("div", { class: "pictures" }, ...entry.pictures.map((p) =>
      make("figure", {}, picture(entry, p, true), make("figcaption", {}, p[0]))));
    dialog.replaceChildren(figures,
      make("div", { class: "bar" },
        make("button", { type: "button", "aria-label": "previous", onclick: () => step(-1) }, "‹"),
        make("button", { type: "button", "aria-label": "next", onclick: () => step(1) }, "›"),
        make("button", { type: "button", "aria-label": "close", onclick: () => dialog.close() }, "×")),
      make("div", { class: "detail" },
        make("h2", {}, entry.name),
        make("div", { class: "line" }, `${entry.title}  ·  ${sizes(entry)}`),
        chips(entry, explore),
        make("table", {}, make("tbody", {}, ...rows)),
        make("pre", {}, entry.store
          ? `import stemzarr\nscan = stemzarr.open(${JSON.stringify(entry.store)})`
          : `from stemzarr_catalog import open_lake\nscan = open_lake()[${JSON.stringify(entry.name)}].open()`)));
    history.replaceState(null, "", `#${encodeURIComponent(entry.name)}`);
    if (!entry.pictures.length) figures.remove();
  };
  const show = (entry) => {
    current = Math.max(0, shown.indexOf(entry));
    fill(entry);
    if (!dialog.open) dialog.showModal();
  };
  dialog.addEventListener("close", () => store());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });

  const count = make("span", { class: "count", role: "status" });
  const search = make("input", {
    type: "search", placeholder: "SrTiO3 200 keV, kind=4d-stem, exposure<10ms …", "aria-label": "Search",
    oninput: () => { state.text = search.value; update(); },
  });
  const sort = make("select", {
    "aria-label": "Sort", onchange: () => { state.sort = sort.value; update(); },
  }, ...Object.keys(SORTS).map((name) => make("option", { value: name }, name)));
  const clear = make("button", {
    type: "button", onclick: () => { state.text = ""; state.chosen = {}; mirror(); update(); },
  }, "Clear");
  const filters = make("button", {
    type: "button", class: "filters", "aria-expanded": "false",
    onclick: () => filters.setAttribute("aria-expanded", String(page.classList.toggle("filtering"))),
  }, "Filters");
  const mirror = () => { search.value = state.text; sort.value = state.sort; };
  const aside = make("aside", { "aria-label": "Facets" });
  const cards = make("div", { id: "cards" });
  const end = make("div", { "aria-hidden": "true" });
  let drawn = 0;
  const draw = () => {
    cards.append(...shown.slice(drawn, drawn + PAGE).map(card));
    drawn = Math.min(shown.length, drawn + PAGE);
  };
  new IntersectionObserver((seen) => {
    if (seen[0].isIntersecting && drawn < shown.length) draw();
  }, { rootMargin: "800px" }).observe(end);

  const natural = new Intl.Collator(undefined, { numeric: true });
  // Of paths that begin alike, what differs, with the last folder that all have.
  const endings = (paths) => {
    const parts = paths.map((path) => path.split("/"));
    let same = 0;
    while (parts.every((part) => same < part.length - 1 && part[same] === parts[0][same])) same += 1;
    return (path) => path.split("/").slice(Math.max(0, same - 1)).join("/");
  };
  const facet = (name, found) => {
    const counts = new Map();
    for (const entry of entries) for (const value of entry.values[name]) counts.set(value, 0);
    if (!counts.size) return null;
    for (const entry of found) if (matches(entry, name))
      for (const value of entry.values[name]) counts.set(value, counts.get(value) + 1);
    const chosen = state.chosen[name] || new Set();
    const numeric = /_(keV|mm)$/.test(name) || name === "day";
    const order = [...counts].sort((a, b) => numeric
      ? natural.compare(b[0], a[0]) : b[1] - a[1] || natural.compare(a[0], b[0]));
    const all = state.open.has(name);
    const listed = all ? order : order.filter(([v], i) => i < SHORT || chosen.has(v));
    const short = name === "folder" ? endings([...counts.keys()]) : (value) => value;
    const group = make("fieldset", {}, make("legend", {}, label(name)));
    for (const [value, times] of listed)
      group.append(make("label", { class: times ? "value" : "value none", title: value },
        make("input", {
          type: "checkbox", checked: chosen.has(value), onchange: (event) => {
            if (event.target.checked) chosen.add(value); else chosen.delete(value);
            state.chosen[name] = chosen;
            if (!chosen.size) delete state.chosen[name];
            update();
          },
        }),
        make("span", {}, fact(name, /_(keV|mm)$/.test(name) ? Number(value) : short(value))),
        make("output", {}, String(times))));
    if (order.length > SHORT)
      group.append(make("button", {
        class: "more", type: "button",
        onclick: () => { if (all) state.open.delete(name); else state.open.add(name); update(); },
      }, all ? "fewer" : `all ${order.length}`));
    return group;
  };

  // To sort thousands of names takes longer than all else that a keystroke asks for.
  const orders = new Map();
  const ordered = (sort) => {
    if (!orders.has(sort)) {
      const [key, direction] = SORTS[sort];
      orders.set(sort, [...entries].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === undefined || x === null) return y === undefined || y === null ? 0 : 1;
        if (y === undefined || y === null) return -1;
        return direction * (typeof x === "number" ? x - y : natural.compare(x, y));
      }));
    }
    return orders.get(sort);
  };

  const update = () => {
    understand();
    const found = ordered(state.sort).filter(fits);
    shown = found.filter((entry) => matches(entry));
    const focused = document.activeElement && document.activeElement.closest("label.value");
    const place = focused && focused.title;
    const scrolled = aside.scrollTop;
    aside.replaceChildren(...FACETS.map(([name]) => facet(name, found)).filter(Boolean));
    aside.scrollTop = scrolled;
    if (place) for (const item of aside.querySelectorAll("label.value"))
      if (item.title === place) item.firstChild.focus();
    const all = entries.length === 1 ? "1 entry" : `${entries.length} entries`;
    count.textContent = fault || (shown.length === entries.length ? all : `${shown.length} of ${all}`);
    count.classList.toggle("fault", Boolean(fault));
    cards.replaceChildren();
    drawn = 0;
    if (shown.length) draw();
    else cards.append(make("div", { class: "nothing" }, about.live && !known ? "Opening …" : "No scans match."));
    store();
  };

  // What a server that sent the page knows by now; nothing is sent while nothing changes.
  const AGAIN = 5000;
  let known = "";
  const ask = async () => {
    const answer = await fetch(`api/entries?${new URLSearchParams({ known })}`).then((got) => got.json()).catch(() => null);
    if (answer && answer.entries) {
      const name = dialog.open && shown[current] ? shown[current].name : null;
      const first = !known;
      known = answer.state;
      take(answer.entries);
      orders.clear();
      if (first) begin(); else update();
      if (name) current = Math.max(0, shown.findIndex((entry) => entry.name === name));
    } else if (!answer || answer.error) {
      count.textContent = answer ? answer.error : "the server does not answer; start stemzarr explore again";
    }
    setTimeout(ask, AGAIN);
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search && !dialog.open) {
      event.preventDefault();
      search.focus();
    }
  });
  const made = about.live ? `stemzarr ${about.version}` : `${about.query ? `Query: ${about.query} · ` : ""}made by stemzarr ${about.version}, ${about.made}`;
  page.replaceChildren(
    make("header", {}, make("h1", {}, about.title), count, search, sort, filters, clear),
    make("main", {}, aside, make("section", { "aria-label": "Entries" }, cards, end)),
    make("footer", {}, made), dialog);
  const begin = () => {
    const entry = linked();
    load();
    mirror();
    update();
    if (entry) show(entry);
  };
  addEventListener("hashchange", begin);
  if (about.live) ask(); else begin();
})();

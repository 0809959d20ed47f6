// Elements of the page. Whatever comes from metadata becomes text, never markup.

/** Returns an element; names that begin with "on" add listeners. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Shows or hides an element. */
export function show(element, visible) {
  element.hidden = !visible;
}

/** Returns a button; `hint` is what a pointer that rests on it reads. */
export function button(text, onclick, hint = "") {
  return make("button", { type: "button", onclick, title: hint || null }, text);
}

/** Returns a list of choices, [value, text] each. */
export function select(label, choices, onchange) {
  const element = make("select", { "aria-label": label, title: label },
    ...choices.map(([value, text]) => make("option", { value }, text)));
  element.addEventListener("change", () => onchange(element.value));
  return element;
}

/** Offers bytes to be saved as a file. */
export function saveFile(name, bytes, type) {
  const address = URL.createObjectURL(new Blob([bytes], { type }));
  fetchFile(address, name);
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** Lets the browser save what is at an address. */
export function fetchFile(address, name) {
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

// The widget of a notebook: the page in a frame of its own, and messages between it and the kernel.

function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.setAttribute("allow", "clipboard-write");
  frame.title = "Explorer";
  frame.style.cssText = `display: block; width: 100%; border: 0; border-radius: 8px; height: ${model.get("height")}px`;
  frame.srcdoc = model.get("_page");
  const traits = () => Object.fromEntries(["position", "region", "detectors"].map((name) => [name, model.get(name)]));
  let known = JSON.stringify(traits());
  const fromPage = ({ source, data }) => {
    if (source !== frame.contentWindow || !data) return;
    if (data.ready) frame.contentWindow.postMessage({ change: traits() }, "*");
    if (data.ask) model.send({ ask: data.ask });
    if (!data.traits) return;
    known = JSON.stringify(data.traits);
    for (const [name, value] of Object.entries(data.traits)) model.set(name, value);
    model.save_changes();
  };
  const fromKernel = (content, buffers) => {
    const [view] = buffers || [];
    const data = view && (view.buffer ? view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) : view);
    frame.contentWindow.postMessage({ ...content, data }, "*", data ? [data] : []);
  };
  const changed = () => {
    const text = JSON.stringify(traits());
    if (text !== known) frame.contentWindow.postMessage({ change: traits() }, "*");
    known = text;
  };
  const resized = () => { frame.style.height = `${model.get("height")}px`; };
  const names = ["change:position", "change:region", "change:detectors"];
  addEventListener("message", fromPage);
  model.on("msg:custom", fromKernel);
  names.forEach((name) => model.on(name, changed));
  model.on("change:height", resized);
  el.append(frame);
  return () => {
    removeEventListener("message", fromPage);
    model.off("msg:custom", fromKernel);
    names.forEach((name) => model.off(name, changed));
    model.off("change:height", resized);
  };
}

export default { render };

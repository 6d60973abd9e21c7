// Elements and how they are made. Text goes in as text, never as markup, wherever it comes from.

const SVG = "http://www.w3.org/2000/svg";

/** An element of the page: `element("td", {class: "number", text: "5"}, child)`. */
export function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/** As `element`, inside an <svg>. */
export function drawn(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") node.textContent = value;
    else if (typeof value === "function") node.addEventListener(key, value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element with this id, which the page must have. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Sets a text only if it differs, so that what is read aloud is read once. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A status line: `kind` is "good", "bad", "busy" or "plain"; the mark in front says it without colour. */
export function report(node, kind, text) {
  node.dataset.kind = kind;
  say(node, text);
}

/** Draws `draw(width)` into `box` now and whenever its width changes. Returns a function that draws again. */
export function atWidthOf(box, draw) {
  let width = 0;
  const redraw = () => {
    if (width > 0) box.replaceChildren(draw(width));
  };
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now === width) return;
    width = now;
    requestAnimationFrame(redraw);
  }).observe(box);
  return redraw;
}

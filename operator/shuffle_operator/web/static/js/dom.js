// Elements, made without ever parsing text as HTML: what comes from data is only set as textContent or an attribute.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes as they are written, `on` for listeners, children as nodes or text. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "style") for (const [property, given] of Object.entries(value)) node.style.setProperty(property, given);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** Put other children in place of the present ones. */
export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
}

/** Set a text where it differs, so that what did not change is neither laid out nor read out again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute where it differs; null takes it away. */
export function mark(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/** A number that no other element's id has. */
let ids = 0;
export function id(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

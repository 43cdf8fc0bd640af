// A section of the page: heading, what it shows in a line, content.

import { el } from "../dom.js";

/** `id`: of the section, for links. `lead`: text or a node beneath the heading. */
export function card(id, title, lead, ...children) {
  const heading = el("h2", { id: `${id}-title` }, title);
  const said = lead instanceof Node || lead === null ? lead : el("p", {}, lead);
  const node = el("section", { class: "card", id, "aria-labelledby": `${id}-title` }, el("header", {}, heading, said), children);
  return node;
}

/** Shown in place of what is not there yet. */
export const none = (text) => el("p", { class: "none" }, text);

// The plan as a tree, the last step first; what was expected beside what was done.

import { el, fill } from "../dom.js";
import { bytes, clean, count, known } from "../format.js";
import { card, none } from "./card.js";

const ROWS = [
  ["rows", "Rows", count],
  ["bytes", "Bytes", bytes],
  ["files", "Files", count],
  ["spilled", "Spilled", bytes],
];
const FAR = 2;
const DEPTH = 60;

export class Plan {
  constructor() {
    this.tree = el("div", { class: "plan" });
    this.notes = el("ul", { class: "hint" });
    this.node = card("plan", "Plan", "What was expected, beside what was done so far", this.tree, this.notes);
  }

  update(job) {
    const text = JSON.stringify([job.plan, job.notes, job.progress.phase]);
    if (text === this._drawn) return;
    this._drawn = text;
    if (job.plan) fill(this.tree, step(job.plan, job.progress.phase === "Complete", 0));
    else fill(this.tree, none(job.progress.over ? "The job ended before it had a plan." : "The job is being planned, or waits for its first worker."));
    fill(this.notes, (job.notes ?? []).map((note) => el("li", { class: "data" }, `Note: ${clean(note, 1000)}`)));
  }
}

function step(node, complete, depth) {
  const what = el("p", { class: "what" }, el("b", {}, clean(node.step, 60)), el("span", { class: "data" }, clean(node.what, 600)));
  const why = node.why.map((line) => el("p", { class: "why data" }, clean(line, 600)));
  const inputs = depth < DEPTH && node.inputs.length
    ? el("ul", {}, node.inputs.map((one) => el("li", {}, step(one, complete, depth + 1))))
    : null;
  return [el("div", { class: "node" }, el("div", {}, what, why), beside(node, complete)), inputs];
}

function beside(node, complete) {
  const rows = ROWS.filter(([key]) => known(node.estimated[key]) || known(node.actual[key]));
  if (!rows.length) return null;
  return el(
    "table",
    {},
    el("caption", {}, `Figures of ${clean(node.step, 60)}`),
    el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col" }, "estimated"), el("th", { scope: "col" }, complete ? "actual" : "so far"))),
    el("tbody", {}, rows.map(([key, label, written]) => line(label, node.estimated[key], node.actual[key], written, complete))),
  );
}

function line(label, estimated, actual, written, complete) {
  const off = complete && known(estimated) && known(actual) && far(estimated, actual);
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, label),
    el("td", {}, known(estimated) ? written(estimated) : "–"),
    el("td", { class: off ? "off" : null, title: off ? "Far from what was expected" : null }, known(actual) ? written(actual) : "–", off ? ` (${times(estimated, actual)})` : ""),
  );
}

function far(estimated, actual) {
  return Math.max(estimated, actual) > FAR * Math.max(1, Math.min(estimated, actual));
}

function times(estimated, actual) {
  if (estimated === 0) return "none expected";
  if (actual === 0) return "none";
  return actual >= estimated ? `${Number((actual / estimated).toPrecision(2))} ×` : `1/${count(Math.round(estimated / actual))}`;
}

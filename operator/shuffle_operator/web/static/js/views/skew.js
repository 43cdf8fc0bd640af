// How even the output is: files by size, the largest against the median, and the keys that many rows have.

import { el, fill, svg } from "../dom.js";
import { bytes, clean, count, counted, known, percent } from "../format.js";
import { Table, behind } from "../table.js";
import { card, none } from "./card.js";

const [WIDE, HIGH, LEFT, BELOW, ABOVE] = [560, 190, 44, 24, 18];
const EVEN = 2;

export class Skew {
  constructor() {
    this.figures = el("dl", { class: "figures" });
    this.plot = el("figure", {});
    this.table = new Table("Files by size", [
      { title: "From", value: ([low]) => bytes(low) },
      { title: "Below", value: ([, high]) => bytes(high) },
      { title: "Files", number: true, value: ([, , files]) => count(files) },
    ]);
    this.biggest = new Table("The largest files", [
      { title: "File", value: (file) => file.name || `group ${file.group}` },
      { title: "Size", number: true, value: (file) => bytes(file.bytes) },
      { title: "Rows", number: true, value: (file) => count(file.rows) },
    ]);
    this.keys = new Table("Hot keys", [
      { title: "Hot keys", value: (key) => el("span", { title: clean(key.source) }, clean(key.key, 200)) },
      { title: "Share", number: true, value: (key) => percent(key.share) },
      { title: "Rows", number: true, value: (key) => (known(key.rows) ? `≈ ${count(key.rows)}` : "–") },
      { title: "Bytes", number: true, value: (key) => (known(key.bytes) ? `≈ ${bytes(key.bytes)}` : "–") },
    ]);
    this.large = behind(this.biggest, "Largest files");
    this.none = none("");
    this.node = card(
      "skew",
      "Skew",
      "How even the output files are",
      el("div", { class: "pair" }, el("div", {}, this.figures, this.plot, (this.folded = behind(this.table))), el("div", { class: "stack" }, this.none, this.keys.node, this.large)),
    );
  }

  update(job) {
    const { skew } = job;
    const text = JSON.stringify([skew, job.progress.over]);
    if (text === this._drawn) return;
    this._drawn = text;
    fill(this.figures, figures(skew).map(([label, value, below]) => el("div", {}, el("dt", {}, label), el("dd", {}, value, el("small", {}, below)))));
    fill(this.plot, skew.bins.length ? histogram(skew) : none(job.progress.over ? "No file was written." : "No file is written yet."));
    this.folded.hidden = !skew.bins.length;
    this.table.set(skew.bins);
    this.biggest.set(skew.biggest);
    this.keys.set(skew.hot_keys);
    this.large.hidden = !skew.biggest.length;
    this.keys.node.hidden = !skew.hot_keys.length;
    this.none.textContent = skew.hot_keys.length ? "" : "No key stands out.";
    this.none.hidden = Boolean(skew.hot_keys.length);
  }
}

function figures(skew) {
  const even = known(skew.ratio) && skew.ratio < EVEN;
  return [
    ["Largest / median", known(skew.ratio) && skew.ratio > 0 ? `${Number(skew.ratio.toPrecision(3))} ×` : "–", known(skew.ratio) ? (even ? "even" : "uneven") : ""],
    ["Largest", skew.files ? bytes(skew.largest) : "–", ""],
    ["Median", skew.files ? bytes(skew.median) : "–", skew.files ? `of ${counted(skew.files, "file")}` : ""],
  ];
}

/** Bars on a logarithmic axis of bytes, with the median and the largest marked. */
function histogram({ bins, median, largest }) {
  const from = Math.log2(Math.max(1, bins[0][0]));
  const to = Math.max(from + 1, Math.log2(Math.max(2, bins[bins.length - 1][1])));
  const most = Math.max(...bins.map(([, , files]) => files));
  const x = (size) => LEFT + ((Math.log2(Math.max(1, size)) - from) / (to - from)) * (WIDE - LEFT - 8);
  const y = (files) => HIGH - BELOW - (files / most) * (HIGH - BELOW - ABOVE);
  const parts = (most % 2 ? [0, most] : [0, most / 2, most]).map((files) => [
    svg("line", { x1: LEFT, x2: WIDE, y1: y(files), y2: y(files), class: "grid" }),
    svg("text", { x: LEFT - 6, y: y(files) + 4, "text-anchor": "end" }, count(files)),
  ]);
  for (const [low, high, files] of bins) {
    const [a, b] = [x(low), x(high)];
    parts.push(svg("rect", { x: a + 0.5, width: Math.max(1, b - a - 1), y: y(files), height: HIGH - BELOW - y(files), rx: 1.5, class: "bar" }, svg("title", {}, `${bytes(low)} to ${bytes(high)}: ${counted(files, "file")}`)));
  }
  const powers = Array.from({ length: Math.max(0, Math.floor(to) - Math.ceil(from) + 1) }, (_, n) => 2 ** (Math.ceil(from) + n));
  const each = Math.ceil(powers.length / 6);
  const labels = powers.length > 2 ? powers.filter((_, n) => n % each === 0) : [bins[0][0], bins[bins.length - 1][1]];
  for (const size of labels) {
    const anchor = x(size) > WIDE - 30 ? "end" : "middle";
    parts.push(svg("text", { x: x(size), y: HIGH - 6, "text-anchor": anchor }, bytes(size).replace(".0", "")));
  }
  if (median > 0) parts.push(marker(x(median), "median"));
  if (largest > 1.5 * median) parts.push(marker(x(largest), "largest"));
  return svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "histogram", role: "img", "aria-label": "Files by size; the table has the figures" }, parts);
}

function marker(at, word) {
  const right = at > WIDE - 60;
  return svg(
    "g",
    { class: "marker" },
    svg("line", { x1: at, x2: at, y1: ABOVE - 6, y2: HIGH - BELOW }),
    svg("text", { x: right ? at - 4 : at + 4, y: 11, "text-anchor": right ? "end" : "start" }, word),
  );
}

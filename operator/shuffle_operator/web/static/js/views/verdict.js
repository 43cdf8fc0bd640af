// What bounds the job, in a sentence; the line of YAML that would change it; and the figures that it follows from.

import { el, fill, say, show } from "../dom.js";
import { bytes, clean, count, duration, percent, rate } from "../format.js";
import { card } from "./card.js";

const WRITTEN = {
  seconds: duration,
  bytes,
  share: percent,
  "bytes/s": rate,
  times: (value) => `${Number(value.toPrecision(3))} ×`,
  workers: (value) => count(value),
};

export class Verdict {
  constructor() {
    this.sentence = el("p", { class: "sentence data" });
    this.why = el("p", { class: "small muted data" });
    this.code = el("pre", {}, (this.yaml = el("code", { class: "data" })));
    this.copy = el("button", { type: "button", class: "quiet", on: { click: () => this._copy() } }, "Copy");
    this.change = el("div", { class: "change" }, this.why, (this.place = el("div", { class: "line" }, this.code, this.copy)));
    this.evidence = el("dl", { class: "evidence", "aria-label": "The figures that this follows from" });
    this.node = card("verdict", "What bounds this job", null, el("div", { class: "verdict" }, el("div", {}, this.sentence, this.change), this.evidence));
  }

  update(job) {
    const { verdict } = job;
    const text = JSON.stringify(verdict);
    if (text === this._drawn) return;
    this._drawn = text;
    say(this.sentence, clean(verdict.sentence, 1000));
    show(this.change, Boolean(verdict.yaml || verdict.why));
    show(this.place, Boolean(verdict.yaml));
    say(this.why, clean(verdict.why || "This line of the job would change it:", 1000));
    fill(this.yaml, verdict.yaml.startsWith("  ") ? el("span", { class: "muted" }, "spec:\n") : null, (this.line = el("span", {}, clean(verdict.yaml, 1000))));
    fill(this.evidence, verdict.evidence.map(figure));
  }

  async _copy() {
    try {
      await navigator.clipboard.writeText(this.line.textContent);
      say(this.copy, "Copied");
    } catch {
      getSelection().selectAllChildren(this.line); // no clipboard without https, so it is marked for Ctrl-C
      say(this.copy, "Press Ctrl-C");
    }
  }
}

function figure({ label, value, unit }) {
  const written = (WRITTEN[unit] ?? ((number) => `${count(number)} ${clean(unit, 20)}`))(value);
  const part = (100 * Math.min(1, Math.max(0, value))).toFixed(1);
  const bar = unit === "share" ? el("span", { class: "share", "aria-hidden": "true" }, el("i", { style: { width: `${part}%` } })) : null;
  return el("div", {}, el("dt", { class: "data" }, clean(label, 200)), el("dd", {}, bar, written));
}

// How far the job is: phase, sentence, bar, time taken and left, and the figures that people look for first.

import { el, mark, say, show } from "../dom.js";
import { bytes, clean, count, counted, duration, known, percent } from "../format.js";

export const PHASE_MARKS = { Complete: "✓", Failed: "✕", Suspended: "‖", Pending: "…" };

/** Set a phase's badge: a sign, a word, a colour. */
export function phase(node, name) {
  say(node, `${PHASE_MARKS[name] ?? "●"} ${name}`);
  mark(node, "data-phase", name);
}

export class Now {
  constructor() {
    this.sentence = el("p", { class: "sentence data" });
    this.bar = el("div", {});
    this.meter = el("div", { class: "meter", role: "progressbar", "aria-label": "Of the whole job", "aria-valuemin": 0, "aria-valuemax": 100 }, this.bar);
    this.list = el("dl", { class: "figures" });
    this.cause = el("p", { class: "banner data", "data-kind": "bad", role: "alert" });
    this.partial = el("p", { class: "banner data" });
    this.cells = new Map();
    this.node = el(
      "section",
      { class: "card now", id: "now", "aria-labelledby": "now-title" },
      el("h2", { class: "away", id: "now-title" }, "Progress"),
      this.cause, this.partial, this.sentence, this.meter, this.list,
    );
  }

  update(job) {
    const { progress } = job;
    const failed = progress.phase === "Failed" && progress.cause;
    show(this.cause, Boolean(failed));
    if (failed) say(this.cause, `${clean(progress.reason)}: ${clean(progress.cause, 2000)}`);
    show(this.partial, Boolean(job.partial));
    say(this.partial, clean(job.partial));
    show(this.sentence, !failed);
    say(this.sentence, clean(progress.message, 2000));
    const share = Math.min(1, Math.max(0, progress.percent / 100));
    this.bar.style.setProperty("transform", `scaleX(${share.toFixed(4)})`);
    mark(this.meter, "aria-valuenow", Math.round(progress.percent));
    mark(this.meter, "data-phase", progress.phase);
    const cells = figures(job);
    for (const [label, value, below] of cells) this._cell(label, value, below);
    for (const [label, cell] of this.cells) show(cell.node, cells.some((one) => one[0] === label));
  }

  _cell(label, value, below) {
    let cell = this.cells.get(label);
    if (!cell) {
      const [main, small] = [el("span"), el("small")];
      cell = { node: el("div", {}, el("dt", {}, label), el("dd", {}, main, small)), main, small };
      this.cells.set(label, cell);
      this.list.append(cell.node);
    }
    say(cell.main, value);
    say(cell.small, below);
  }
}

/** "3 min to 5 min", or nothing where that says no more than the figure above it. */
export function range({ left_low: low, left_high: high }) {
  if (!known(low) || !known(high)) return "";
  const [from, to] = [duration(low), duration(high)];
  return from === to ? "" : `between ${from} and ${to}`;
}

function figures(job) {
  const { progress, rows, workers } = job;
  const spilled = rows.spilled;
  const memory = workers.reduce((most, one) => Math.max(most, one.memory_budget ? one.memory_peak / one.memory_budget : 0), 0);
  const found = [["Time", duration(progress.seconds), `began ${calendar(job.job.started)}`]];
  if (!progress.over) found.push(["Left", known(progress.left) ? `about ${duration(Math.max(1, progress.left))}` : "–", known(progress.left) ? range(progress) : "too early to say"]);
  found.push(
    ["Done", percent(progress.percent / 100), done(progress)],
    [rows.unit === "row" ? "Rows written" : "Elements written", known(rows.written.rows) ? count(rows.written.rows) : "–", known(rows.read.rows) ? `of ${count(rows.read.rows)} read` : ""],
    ["Written", bytes(rows.written.bytes), `${bytes(rows.read.bytes)} read`],
    progress.over
      ? ["Workers", count(job.job.workers), losses(job)]
      : ["Workers", `${count(progress.workers_ready)} of ${count(job.job.workers)}`, losses(job)],
    ["Memory", memory ? percent(memory) : "–", "of its budget, the fullest worker"],
    ["Spilled", bytes(spilled), spilled > 0 && rows.sent.bytes > 0 ? "to scratch" : "nothing on scratch"],
  );
  return found;
}

function done(progress) {
  if (!progress.splits) return "no plan yet";
  if (progress.splits_done < progress.splits) return `${count(progress.splits_done)} of ${counted(progress.splits, "split")} read`;
  return `${count(progress.groups_written)} of ${counted(progress.groups, "group")} written`;
}

function losses(job) {
  const lost = job.losses.failures + job.losses.disruptions;
  return lost ? `${count(lost)} lost` : "none lost";
}

/** 2026-05-28 18:26, in the reader's own time. */
export function calendar(seconds) {
  const at = new Date(seconds * 1000);
  const two = (n) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

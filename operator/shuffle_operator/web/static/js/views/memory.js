// Memory of each worker against its budget, and what was spilled.

import { Drawing, FONT } from "../canvas.js";
import { memoryShare } from "../doing.js";
import { ends } from "../document.js";
import { el, mark } from "../dom.js";
import { bytes, clean, count, counted, duration, percent } from "../format.js";
import { BYTE_STEPS, Plot } from "../plots.js";
import { Table, behind } from "../table.js";
import { colour, ramp } from "../theme.js";
import { card } from "./card.js";

const GUTTER = 46;
const FULL = 0.9;

export class Memory {
  constructor() {
    this.shares = new Plot({
      label: "Memory over time, as a share of the budget: the fullest worker, and the mean. The table has the figures of each worker.",
      series: [
        { label: "Fullest worker", colour: "blocked" },
        { label: "Mean", colour: "read", fill: true },
        { label: "Budget", colour: "muted", dash: [5, 4], width: 1 },
      ],
      format: percent,
      least: 1.1,
      height: 160,
    });
    this.spill = new Plot({
      label: "Bytes spilled to scratch so far, over time.",
      series: [{ label: "Spilled so far", colour: "disk", fill: true }],
      format: bytes,
      steps: BYTE_STEPS,
      least: 1024,
      height: 160,
    });
    this.canvas = el("canvas", { role: "img" });
    this.heat = new Drawing(this.canvas, (context, width, height) => this._heat(context, width, height));
    this.table = new Table("Memory and spill of each worker", [
      { title: "Worker", value: (one) => String(one.worker), order: (one) => one.worker },
      { title: "State", value: (one) => one.state },
      { title: "Memory now", number: true, value: (one) => share(one.memory, one.memory_budget), order: (one) => one.memory },
      { title: "At the most", number: true, value: (one) => share(one.memory_peak, one.memory_budget), order: (one) => one.memory_peak },
      { title: "Budget", number: true, value: (one) => bytes(one.memory_budget) },
      { title: "Spilled", number: true, value: (one) => bytes(one.spilled), order: (one) => one.spilled },
      { title: "Processor time", number: true, value: (one) => duration(one.cpu), order: (one) => one.cpu },
      { title: "Waits for", value: (one) => clean(one.waiting, 120) || "–" },
    ]);
    this.lead = el("p");
    this.node = card(
      "memory",
      "Memory and spill",
      this.lead,
      el("div", { class: "pair" }, this.shares.node, this.spill.node),
      el("h3", { class: "over" }, "Each worker over time: the stronger the colour, the fuller; ", el("span", { class: "alarm" }, "more than its budget")),
      this.canvas,
      behind(this.table, "Table of workers"),
    );
  }

  update(job) {
    this.job = job;
    const { samples } = job.timeline;
    const budget = job.job.memory;
    const times = [0, ...ends(job)];
    this.lead.textContent = `${bytes(budget)} a worker`;
    this.shares.set([
      times,
      [null, ...samples.map((one) => (one.workers ? one.memory_most : null))],
      [null, ...samples.map((one) => (one.workers && budget ? one.memory / one.workers / budget : null))],
      times.map(() => 1),
    ]);
    this.spill.set([times, [0, ...samples.map((one) => one.bytes_spilled)]]);
    this.table.set(job.workers);
    const most = Math.max(0, ...job.workers.map((one) => (one.memory_budget ? one.memory_peak / one.memory_budget : 0)));
    mark(this.canvas, "aria-label", `Memory of ${counted(job.timeline.lanes, "worker")} over time; the fullest had ${percent(most)} of its budget`);
    this.canvas.style.height = `${Math.min(240, Math.max(56, job.timeline.lanes * 12))}px`;
    this.heat.ask();
  }

  /** A pixel of the picture is a column of time by the workers that share a row, of which it shows the fullest. */
  _heat(context, width, height) {
    const { memory, lanes } = this.job.timeline;
    if (!lanes || !memory.length) return;
    const rows = Math.min(lanes, Math.floor(height / 2));
    const picture = new ImageData(memory.length, rows);
    const shades = ramp();
    for (let row = 0; row < rows; row += 1) {
      const first = Math.floor((row * lanes) / rows);
      const last = Math.max(first + 1, Math.floor(((row + 1) * lanes) / rows));
      for (let n = 0; n < memory.length; n += 1) {
        const most = fullest(memory[n], first, last);
        if (most !== null) picture.data.set(shades[Math.min(most, 32)], 4 * (row * memory.length + n));
      }
    }
    const small = new OffscreenCanvas(memory.length, rows);
    small.getContext("2d").putImageData(picture, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, GUTTER, 0, width - GUTTER, height);
    if (height / rows > 6) {
      context.fillStyle = colour("card");
      for (let row = 1; row < rows; row += 1) context.fillRect(GUTTER, (row * height) / rows - 0.5, width, 1);
    }
    context.fillStyle = colour("muted");
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "right";
    const each = [1, 2, 5, 10, 20, 50, 100, 200].find((n) => lanes / n <= height / 16) ?? 500;
    for (let lane = 0; lane < lanes; lane += each) context.fillText(count(lane), GUTTER - 8, ((lane + 0.5) * height) / lanes + (each > 1 ? 6 : 0));
  }
}

/** Of the workers from `first` to before `last`, in 1/32 of the budget; null where none is there. */
function fullest(column, first, last) {
  let most = null;
  for (let lane = first; lane < last; lane += 1) {
    const found = memoryShare(column[lane] ?? "-");
    if (found !== null && (most === null || found * 32 > most)) most = found * 32;
  }
  return most;
}

function share(size, budget) {
  if (!budget) return "–";
  const part = Math.min(1, size / budget);
  return el(
    "span",
    { title: `${bytes(size)} of ${bytes(budget)}` },
    el("span", { class: "share", "aria-hidden": "true" }, el("i", { "data-high": part > FULL, style: { width: `${(100 * part).toFixed(1)}%` } })),
    el("span", { class: "figure" }, percent(size / budget)),
  );
}

// Who sent how much to whom, and for whom senders had to wait.

import { Drawing, FONT } from "../canvas.js";
import { el, fill, mark, say, show } from "../dom.js";
import { bytes, duration } from "../format.js";
import { Table, behind } from "../table.js";
import { colour, ramp } from "../theme.js";
import { Tip } from "../tip.js";
import { card, none } from "./card.js";

const [LEFT, TOP] = [70, 26];
const SHOWN = 12;

export class Transfers {
  constructor() {
    this.canvas = el("canvas", { tabindex: "0", role: "img" });
    this.drawing = new Drawing(this.canvas, (context, width, height) => this._draw(context, width, height));
    this.about = el("p", { class: "about", "aria-live": "polite" });
    this.blocked = el("ul", { class: "bars" });
    this.quiet = none("Nobody had to wait for a receiver.");
    this.none = none("Nothing was sent from worker to worker yet.");
    this.table = new Table("Bytes from workers to workers", [
      { title: "From", value: (pair) => pair.from, order: (pair) => pair.i },
      { title: "To", value: (pair) => pair.to, order: (pair) => pair.j },
      { title: "Bytes", number: true, value: (pair) => bytes(pair.bytes), order: (pair) => pair.bytes },
    ]);
    this.body = el(
      "div",
      { class: "pair" },
      el("div", { class: "matrix" }, this.canvas, this.about),
      el("div", {}, el("h3", {}, "Back-pressure: seconds that senders waited for a receiver's memory"), el("p", { class: "hint" }), this.quiet, this.blocked),
    );
    this.folded = behind(this.table, "Table of pairs");
    this.node = card("transfers", "Transfers", "Rows are senders, columns receivers: the stronger the colour, the more bytes", this.none, this.body, this.folded);
    this.tip = new Tip();
    this.at = null;
    this.canvas.addEventListener("pointermove", (event) => this._point(event));
    this.canvas.addEventListener("pointerleave", () => this.tip.hide());
    this.canvas.addEventListener("keydown", (event) => this._key(event));
  }

  update(job) {
    const { matrix } = job;
    const text = JSON.stringify([matrix, job.progress.over]);
    if (text === this._drawn) return;
    this._drawn = text;
    this.matrix = matrix;
    this.workers = job.timeline.lanes || job.job.workers;
    const some = matrix.bytes.some((row) => row.some((size) => size > 0));
    show(this.none, !some);
    show(this.body, some);
    show(this.folded, some);
    if (!some) {
      say(this.none, job.job.method === "ObjectStore" ? "This job's shards travel by object storage, not from worker to worker." : `Nothing was sent from worker to worker${job.progress.over ? "" : " yet"}.`);
      return;
    }
    this.most = Math.max(1, ...matrix.bytes.flat());
    const pairs = matrix.bytes.flatMap((row, i) => row.map((size, j) => ({ i, j, from: this._who(i), to: this._who(j), bytes: size })));
    this.table.set(pairs.filter((pair) => pair.bytes > 0));
    mark(this.canvas, "aria-label", `Bytes from workers to workers, at most ${bytes(this.most)} from one to another; arrow keys read them out`);
    this._waits();
    const side = Math.min(30, Math.max(11, matrix.bytes.length * 3.5));
    this.canvas.style.maxWidth = `${side + 4.4}rem`;
    this.canvas.style.aspectRatio = `${side + 4.4} / ${side + 1.65}`;
    this.drawing.ask();
  }

  _waits() {
    const waits = this.matrix.blocked.map((seconds, j) => [seconds, j]).filter(([seconds]) => seconds >= 0.005).sort((a, b) => b[0] - a[0]);
    show(this.quiet, !waits.length);
    const most = waits.length ? waits[0][0] : 1;
    fill(
      this.blocked,
      waits.slice(0, SHOWN).map(([seconds, j]) =>
        el("li", {}, el("span", {}, this._who(j)), el("span", { class: "bar", "aria-hidden": "true" }, el("i", { style: { width: `${((100 * seconds) / most).toFixed(1)}%` } })), el("span", {}, duration(seconds))),
      ),
      waits.length > SHOWN ? el("li", {}, el("span", { class: "muted" }, `and ${waits.length - SHOWN} more`)) : null,
    );
  }

  /** Worker 3; workers 16–31. */
  _who(tile) {
    const { step } = this.matrix;
    const last = Math.min(this.workers, (tile + 1) * step) - 1;
    return step === 1 || last === tile * step ? `worker ${tile * step}` : `workers ${tile * step}–${last}`;
  }

  _draw(context, width, height) {
    const { bytes: rows, step } = this.matrix;
    const tiles = rows.length;
    const size = Math.min(width - LEFT, height - TOP) / tiles;
    const gap = size > 8 ? 1 : 0;
    const shades = ramp(false).map((one) => `rgb(${one[0]} ${one[1]} ${one[2]})`);
    for (let i = 0; i < tiles; i += 1) {
      for (let j = 0; j < tiles; j += 1) {
        context.fillStyle = shades[Math.round((rows[i][j] / this.most) * 32)];
        context.fillRect(LEFT + j * size, TOP + i * size, size - gap, size - gap);
      }
    }
    context.fillStyle = colour("muted");
    context.font = FONT;
    const each = Math.ceil(24 / size);
    context.textBaseline = "middle";
    for (let n = 0; n < tiles; n += each) {
      context.textAlign = "right";
      context.fillText(String(n * step), LEFT - 6, TOP + (n + 0.5) * size);
      context.textAlign = "center";
      context.fillText(String(n * step), LEFT + (n + 0.5) * size, TOP - 9);
    }
    context.textAlign = "left";
    context.fillText("from ↓ to →", 0, TOP - 9);
    if (this.at) {
      context.strokeStyle = colour("text");
      context.lineWidth = 2;
      context.strokeRect(LEFT + this.at[1] * size, TOP + this.at[0] * size, size - gap, size - gap);
    }
    this.size = size;
  }

  _point(event) {
    const box = this.canvas.getBoundingClientRect();
    const [i, j] = [Math.floor((event.clientY - box.top - TOP) / this.size), Math.floor((event.clientX - box.left - LEFT) / this.size)];
    if (i < 0 || j < 0 || i >= this.matrix.bytes.length || j >= this.matrix.bytes.length) this.tip.hide();
    else this.tip.show(event.clientX, event.clientY, this._text(i, j));
  }

  _key(event) {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move || !this.matrix) return;
    event.preventDefault();
    const most = this.matrix.bytes.length - 1;
    const [i, j] = this.at ?? [0, -move[1]];
    this.at = [Math.min(most, Math.max(0, i + move[0])), Math.min(most, Math.max(0, j + move[1]))];
    say(this.about, this._text(...this.at).replace("\n", ", "));
    this.drawing.ask();
  }

  _text(i, j) {
    return `${this._who(i)} to ${this._who(j)}: ${bytes(this.matrix.bytes[i][j])}\nsenders to ${this._who(j)} waited ${duration(this.matrix.blocked[j] ?? 0)}`;
  }
}

// The timeline: a lane a worker, what it did in each column of time. The canvas is as large as what is in view, however
// many lanes there are; the box around it scrolls.

import { Drawing } from "../canvas.js";
import { DOING, doing, memoryShare } from "../doing.js";
import { el, mark, say, show } from "../dom.js";
import { clean, clock, counted, duration, moment, percent } from "../format.js";
import { Table, behind } from "../table.js";
import { still } from "../theme.js";
import { Tip } from "../tip.js";
import { AXIS, GUTTER, paint } from "./lanes.js";
import { card } from "./card.js";

const busy = (one) => Object.entries(one.activity).reduce((sum, [kind, seconds]) => (kind === "idle" ? sum : sum + seconds), 0);

const ORDERS = {
  worker: ["By worker", null],
  busy: ["Busiest first", (one) => -busy(one)],
  idle: ["Most idle first", busy],
  lost: ["Most often lost first", (one) => -one.processes],
};
const CLOSEST = 4;

export class Timeline {
  constructor() {
    this.job = null;
    this.from = 0;
    this.to = null;
    this.only = null;
    this.order = "worker";
    this.at = null;
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.tall = el("div", { class: "tall" });
    this.box = el(
      "div",
      { class: "lanes", tabindex: "0", role: "group", "aria-label": "Timeline", "aria-describedby": "timeline-keys" },
      this.canvas, this.tall,
    );
    this.drawing = new Drawing(this.canvas, (context, width, height) => this._draw(context, width, height));
    this.about = el("p", { class: "about", "aria-live": "polite" });
    this.tip = new Tip();
    this.table = lanesTable();
    this.slow = slowTable();
    this.slowest = behind(this.slow, "Leases that took longest");
    this.node = card(
      "timeline", "Timeline", "A lane a worker: what took most of each moment",
      this._tools(), this.box, this.about, hint(), behind(this.table, "Table of workers"), this.slowest,
    );
    this._listen();
  }

  update(job) {
    this.job = job;
    const { lanes, left_out: out } = job.timeline;
    this.rows = this._sorted();
    this.high = lanes <= 12 ? 26 : lanes <= 60 ? 20 : 15;
    const whole = AXIS + lanes * this.high + 2;
    this.box.style.height = `${Math.min(whole + 2, 416)}px`;
    this.tall.style.height = `${whole}px`;
    mark(this.box, "aria-label", `Timeline of ${counted(lanes, "worker")} over ${duration(job.progress.seconds)}${out ? `; ${counted(out, "worker")} more are not in it` : ""}`);
    this.table.set(job.workers);
    this.slow.set(job.slowest);
    show(this.slowest, job.slowest.length > 0);
    this.drawing.ask();
  }

  // -- what is in view ------------------------------------------------------------------------------------------------

  get end() {
    const { timeline, progress } = this.job;
    return Math.max(progress.seconds, timeline.width * timeline.columns.length, timeline.width);
  }

  get view() {
    return this.to === null ? { from: 0, to: this.end } : { from: this.from, to: this.to };
  }

  /** `times` closer, about a moment. */
  zoom(times, about = null) {
    if (!this.job) return;
    const { from, to } = this.view;
    const middle = about ?? this.at?.second ?? (from + to) / 2;
    const span = Math.max((to - from) / times, CLOSEST * this.job.timeline.width);
    if (span >= this.end) this.to = null;
    else this._look(middle - ((middle - from) * span) / (to - from), span);
    this.drawing.ask();
  }

  pan(share) {
    if (!this.job || this.to === null) return;
    const { from, to } = this.view;
    this._look(from + share * (to - from), to - from);
    this.drawing.ask();
  }

  whole() {
    this.to = null;
    this.drawing.ask();
  }

  _look(from, span) {
    this.from = Math.max(0, Math.min(from, this.end - span));
    this.to = this.from + span;
  }

  _sorted() {
    const rows = Array.from({ length: this.job.timeline.lanes }, (_, lane) => lane);
    const by = ORDERS[this.order][1];
    if (!by) return rows;
    const weight = new Map(this.job.workers.map((one) => [one.worker, by(one)]));
    return rows.sort((a, b) => (weight.get(a) ?? 0) - (weight.get(b) ?? 0) || a - b);
  }

  _draw(context, width, height) {
    if (!this.job) return;
    paint(context, { width, height, job: this.job, rows: this.rows, high: this.high, top: this.box.scrollTop, view: this.view, only: this.only, at: this.at });
  }

  // -- what people do -------------------------------------------------------------------------------------------------

  _tools() {
    const step = (label, name, act) => el("button", { type: "button", class: "step", "aria-label": name, title: name, on: { click: act } }, label);
    this.keys = Object.entries(DOING).map(([letter, one]) => {
      const key = el("span", { class: `key${one.high < 1 ? (one.high < 0.4 ? " line" : " half") : ""}`, style: { "--key": `var(--${one.colour})` } });
      const button = el("button", { type: "button", "aria-pressed": "false", title: `A worker ${one.says}. Click to show this alone.` }, key, one.word);
      button.addEventListener("click", () => this._show(this.only === letter ? null : letter));
      return [letter, button];
    });
    const select = el("select", { "aria-label": "Order of the lanes" }, Object.entries(ORDERS).map(([name, [label]]) => el("option", { value: name }, label)));
    select.addEventListener("change", () => {
      this.order = select.value;
      this.rows = this._sorted();
      this.box.scrollTo({ top: 0, behavior: still() ? "auto" : "smooth" });
      this.drawing.ask();
    });
    const again = el("span", { class: "again-key" }, el("span", { class: "key again", style: { "--key": "var(--muted)" } }), "done again");
    return el(
      "div", { class: "tools" },
      el("div", { class: "keys", role: "group", "aria-label": "Show one activity" }, this.keys.map(([, button]) => button), again),
      el("span", { class: "space" }),
      select, step("−", "Zoom out", () => this.zoom(0.5)), step("+", "Zoom in", () => this.zoom(2)), step("All", "All of the job", () => this.whole()),
    );
  }

  _show(letter) {
    this.only = letter;
    for (const [one, button] of this.keys) mark(button, "aria-pressed", String(one === letter));
    this.drawing.ask();
  }

  _listen() {
    const { box } = this;
    box.addEventListener("scroll", () => { this.tip.hide(); this.drawing.ask(); }, { passive: true });
    box.addEventListener("pointermove", (event) => this._point(event));
    box.addEventListener("pointerdown", (event) => this._begin(event));
    box.addEventListener("pointerup", (event) => this._end(event));
    box.addEventListener("pointerleave", () => { this.tip.hide(); });
    box.addEventListener("dblclick", () => this.whole());
    box.addEventListener("keydown", (event) => this._key(event));
    box.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.25 : 0.8, this._place(event)?.second);
    }, { passive: false });
  }

  /** The worker and the moment under the pointer. */
  _place(event) {
    if (!this.job) return null;
    const bounds = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left - GUTTER, event.clientY - bounds.top - AXIS];
    const { from, to } = this.view;
    const second = from + (x / (bounds.width - GUTTER)) * (to - from);
    const row = Math.floor((y + this.box.scrollTop) / this.high);
    return x < 0 ? null : { second, row: y < 0 ? -1 : row, worker: y < 0 ? undefined : this.rows[row] };
  }

  _point(event) {
    const place = this._place(event);
    const text = place && (place.worker === undefined ? this._moment(place.second) : this._text(place.worker, place.second));
    if (text) this.tip.show(event.clientX, event.clientY, text);
    else this.tip.hide();
  }

  _begin(event) {
    this.drag = event.pointerType === "mouse" && event.button === 0 ? this._place(event) : null;
  }

  /** A stretch of time that the mouse was drawn over fills the view. */
  _end(event) {
    const [start, end] = [this.drag, this._place(event)];
    this.drag = null;
    if (!start || !end) return;
    const { from, to } = this.view;
    const [a, b] = [Math.min(start.second, end.second), Math.max(start.second, end.second)];
    if ((b - a) / (to - from) < 0.02) return;
    const span = Math.max(b - a, CLOSEST * this.job.timeline.width);
    if (span < this.end) this._look(a, span);
    this.drawing.ask();
  }

  _key(event) {
    if (!this.job || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      "+": () => this.zoom(2), "=": () => this.zoom(2), "-": () => this.zoom(0.5), 0: () => this.whole(),
      ArrowLeft: () => (event.shiftKey ? this.pan(-0.25) : this._move(0, -1)),
      ArrowRight: () => (event.shiftKey ? this.pan(0.25) : this._move(0, 1)),
      ArrowUp: () => this._move(-1, 0),
      ArrowDown: () => this._move(1, 0),
      Escape: () => { this.at = null; say(this.about, ""); this._show(null); },
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Move the cursor by lanes and columns, keep it in view, and say what is there. */
  _move(lanes, columns) {
    const { width } = this.job.timeline;
    const { from, to } = this.view;
    if (!this.at) this.at = { row: 0, second: from + width / 2 };
    else {
      this.at.row = Math.min(this.rows.length - 1, Math.max(0, this.at.row + lanes));
      this.at.second = Math.min(this.end - width / 2, Math.max(width / 2, this.at.second + columns * width));
    }
    if (this.at.second < from || this.at.second > to) this._look(this.at.second - (to - from) / 2, to - from);
    const [above, below] = [this.at.row * this.high, (this.at.row + 1) * this.high + AXIS];
    if (above < this.box.scrollTop) this.box.scrollTop = above;
    if (below > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = below - this.box.clientHeight;
    say(this.about, this._text(this.rows[this.at.row], this.at.second).replaceAll("\n", "; "));
    this.drawing.ask();
  }

  _text(worker, second) {
    const { columns, memory, width } = this.job.timeline;
    const column = Math.floor(second / width);
    if (!columns[column]) return "";
    const found = doing(columns[column][worker] ?? "-");
    const part = memoryShare(memory[column]?.[worker] ?? "-");
    const lines = [`worker ${worker}, ${moment(column * width, width)}`];
    lines.push(found ? `${found.says}${found.again ? " – work that is done again" : ""}` : "no worker in this slot");
    if (part !== null) lines.push(`memory about ${percent(part)} of its budget`);
    return [...lines, ...this._near(second, worker)].join("\n");
  }

  _moment(second) {
    const span = this.job.progress.phases.findLast((one) => one.start <= second);
    return [`${clock(second)}${span ? `, ${span.phase}` : ""}`, ...this._near(second, -1)].join("\n");
  }

  _near(second, worker) {
    const { from, to } = this.view;
    const close = Math.max((to - from) / 120, this.job.timeline.width / 2);
    const found = this.job.marks.marks.filter((one) => Math.abs(one.at - second) <= close && (one.worker === worker || one.worker < 0 || worker < 0));
    return found.slice(0, 4).map((one) => `${clock(one.at)}: ${clean(one.text, 160)}`);
  }
}

function hint() {
  const key = (text) => el("kbd", {}, text);
  return el(
    "p", { class: "hint", id: "timeline-keys" },
    "Draw over a stretch of time to zoom in, double-click for all of it. Keys: ", key("←"), " ", key("→"), " ", key("↑"), " ", key("↓"), " move, ", key("+"), " ", key("−"), " ", key("0"), " zoom, ", key("Shift"), " with an arrow pans.",
  );
}

function lanesTable() {
  return new Table("What each worker did, in seconds", [
    { title: "Worker", value: (one) => String(one.worker), order: (one) => one.worker },
    { title: "State", value: (one) => one.state },
    { title: "Does", value: (one) => doing(one.doing)?.says ?? "–" },
    ...Object.values(DOING).map((kind) => ({
      title: kind.word, number: true, value: (one) => (one.activity[kind.field] ? duration(one.activity[kind.field]) : "–"), order: (one) => one.activity[kind.field] ?? 0,
    })),
    { title: "Leases", number: true, value: (one) => String(one.leases), order: (one) => one.leases },
    { title: "Processes", number: true, value: (one) => String(one.processes), order: (one) => one.processes },
  ]);
}

function slowTable() {
  return new Table("Leases that took longest", [
    { title: "Lease", value: (one) => `${one.kind} ${one.item}${one.attempt ? `, attempt ${one.attempt + 1}` : ""}` },
    { title: "Worker", value: (one) => String(one.worker) },
    { title: "Began", value: (one) => clock(one.start) },
    { title: "Took", number: true, value: (one) => duration(one.seconds) },
    { title: "Most of it", value: (one) => mostly(one.activity) },
  ]);
}

function mostly(activity) {
  const [kind, seconds] = Object.values(DOING).map((one) => [one, activity[one.field] ?? 0]).sort((a, b) => b[1] - a[1])[0];
  return seconds > 0 ? `${kind.word.toLowerCase()}, ${duration(seconds)}` : "–";
}

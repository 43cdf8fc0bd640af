// How the timeline is painted: an axis with phases at the top, lanes beneath it, marks over both.

import { FONT, timeStep } from "../canvas.js";
import { doing } from "../doing.js";
import { tick } from "../format.js";
import { colour } from "../theme.js";

export const GUTTER = 46;
export const AXIS = 42;
const BAND = 16;
const PALE = 0.16;

/** `rows`: workers in the order of the lanes; `high`: of a lane; `top`: how far it is scrolled; `only`: a letter. */
export function paint(context, scene) {
  const { width, height, view } = scene;
  const x = (second) => GUTTER + ((second - view.from) / (view.to - view.from)) * (width - GUTTER);
  context.save();
  context.beginPath();
  context.rect(0, AXIS, width, height - AXIS);
  context.clip();
  paintLanes(context, scene, x);
  paintMarks(context, scene, x);
  if (scene.at) paintCursor(context, scene, x);
  context.restore();
  paintAxis(context, scene, x);
}

const y = (scene, row) => AXIS + row * scene.high - scene.top;

function inView(scene) {
  const first = Math.max(0, Math.floor(scene.top / scene.high));
  return [first, Math.min(scene.rows.length, Math.ceil((scene.top + scene.height - AXIS) / scene.high))];
}

function paintLanes(context, scene, x) {
  const { columns, width: each } = scene.job.timeline;
  const { view, rows, high, width, only } = scene;
  const [first, last] = inView(scene);
  const from = Math.max(0, Math.floor(view.from / each));
  const to = Math.min(columns.length, Math.ceil(view.to / each));
  const hatch = pattern(context);
  const inner = high - (high > 18 ? 6 : 4);
  const end = Math.max(scene.job.progress.seconds, (columns.length - 1) * each);
  for (let row = first; row < last; row += 1) {
    const lane = rows[row];
    const top = y(scene, row) + (high - inner) / 2;
    for (let n = from; n < to; ) {
      const letter = columns[n][lane] ?? "-";
      let next = n + 1;
      while (next < to && (columns[next][lane] ?? "-") === letter) next += 1;
      const found = doing(letter);
      const [a, b] = [Math.max(GUTTER, x(n * each)), Math.min(width, x(Math.min(next * each, end)))];
      if (found) paintRun(context, found, a, b, top, inner, only, hatch);
      n = next;
    }
  }
  paintNames(context, scene, first, last);
}

function paintRun(context, found, a, b, top, inner, only, hatch) {
  const tall = Math.max(1.5, inner * found.high);
  context.globalAlpha = only && only !== found.letter ? PALE : 1;
  context.fillStyle = colour(found.colour);
  context.fillRect(a, top + inner - tall, Math.max(0.5, b - a + 0.25), tall);
  if (found.again) {
    context.fillStyle = hatch;
    context.fillRect(a, top + inner - tall, Math.max(0.5, b - a), tall);
  }
  context.globalAlpha = 1;
}

function paintNames(context, scene, first, last) {
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.fillStyle = colour("muted");
  for (let row = first; row < last; row += 1) context.fillText(String(scene.rows[row]), GUTTER - 10, y(scene, row) + scene.high / 2);
}

/** Stripes in the colour of the card, over what is done again. */
let stripes = { key: "", pattern: null };
function pattern(context) {
  const key = colour("card");
  if (stripes.key !== key) {
    const tile = new OffscreenCanvas(5, 5);
    const brush = tile.getContext("2d");
    brush.strokeStyle = key;
    brush.lineWidth = 1.4;
    for (const shift of [-5, 0, 5]) {
      brush.beginPath();
      brush.moveTo(shift, 5);
      brush.lineTo(shift + 5, 0);
      brush.stroke();
    }
    stripes = { key, pattern: context.createPattern(tile, "repeat") };
  }
  return stripes.pattern;
}

/** Losses as crosses, over workers that came as arrows; lines across for epochs. What is done again is striped, and needs no
 * mark. */
function paintMarks(context, scene, x) {
  const rowOf = new Map(scene.rows.map((lane, row) => [lane, row]));
  const [first, last] = inView(scene);
  const marks = [...scene.job.marks.marks].sort((a, b) => LAST.has(a.kind) - LAST.has(b.kind));
  for (const one of marks) {
    if (one.at < scene.view.from || one.at > scene.view.to) continue;
    const at = x(one.at);
    if (one.kind === "epoch") line(context, at, scene.height);
    const row = rowOf.get(one.worker);
    if (row === undefined || row < first || row >= last) continue;
    const sign = SIGNS[one.kind];
    if (sign) badge(context, at, y(scene, row) + scene.high / 2, Math.min(6.5, scene.high / 2 - 1), sign);
  }
}

function line(context, at, height) {
  context.strokeStyle = colour("muted");
  context.lineWidth = 1;
  context.setLineDash([1, 4]);
  context.beginPath();
  context.moveTo(at, AXIS);
  context.lineTo(at, height);
  context.stroke();
  context.setLineDash([]);
}

const cross = (c, x, y, r) => { c.moveTo(x - r, y - r); c.lineTo(x + r, y + r); c.moveTo(x + r, y - r); c.lineTo(x - r, y + r); };
const arrow = (c, x, y, r) => { c.moveTo(x - r * 0.6, y - r); c.lineTo(x + r * 0.8, y); c.lineTo(x - r * 0.6, y + r); };
const SIGNS = { loss: [cross, "bad"], failed: [cross, "bad"], left: [cross, "muted"], joined: [arrow, "good"] };

const LAST = new Set(["loss", "failed"]);

function badge(context, at, middle, radius, [draw, name]) {
  context.fillStyle = colour("card");
  context.beginPath();
  context.arc(at, middle, radius + 1, 0, 7);
  context.fill();
  context.strokeStyle = colour(name);
  context.lineWidth = 2;
  context.lineCap = "round";
  context.beginPath();
  draw(context, at, middle, radius * 0.5);
  context.stroke();
  context.lineCap = "butt";
}

function paintCursor(context, scene, x) {
  const { width } = scene.job.timeline;
  const column = Math.floor(scene.at.second / width);
  const [a, b] = [x(column * width), x((column + 1) * width)];
  context.strokeStyle = colour("text");
  context.lineWidth = 2;
  context.strokeRect(a - 1, y(scene, scene.at.row) + 1, Math.max(3, b - a + 2), scene.high - 2);
}

function paintAxis(context, scene, x) {
  const { width, view } = scene;
  context.fillStyle = colour("card");
  context.fillRect(0, 0, width, AXIS);
  paintPhases(context, scene, x);
  const step = timeStep(view.to - view.from, Math.max(2, (width - GUTTER) / 90));
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
    const place = x(at);
    context.fillStyle = colour("line");
    context.fillRect(Math.round(place), AXIS - 5, 1, 5);
    context.fillStyle = colour("muted");
    if (place > GUTTER + 4 && place < width - 22) context.fillText(tick(at, step), place, AXIS - 13);
    else if (place <= GUTTER + 4) context.fillText(tick(at, step), GUTTER, AXIS - 13);
  }
  context.fillStyle = colour("line");
  context.fillRect(0, AXIS - 0.5, width, 1);
}

const TINT = { Planning: "job", Transferring: "read", Writing: "write", Committing: "job", Complete: "good", Failed: "bad" };

/** A band that says which phase the job was in. */
function paintPhases(context, scene, x) {
  const { width, job, view } = scene;
  context.save();
  context.beginPath();
  context.rect(GUTTER, 0, width - GUTTER, BAND);
  context.clip();
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const { phase, start, end } of job.progress.phases) {
    const until = end ?? Math.max(job.progress.seconds, start);
    if (until < view.from || start > view.to || until <= start) continue;
    const [a, b] = [Math.max(GUTTER, x(start)), x(until)];
    context.globalAlpha = 0.16;
    context.fillStyle = colour(TINT[phase] ?? "muted");
    context.fillRect(a, 0, Math.max(1, b - a - 1), BAND - 2);
    context.globalAlpha = 1;
    context.fillStyle = colour("text");
    if (context.measureText(phase).width + 10 < b - a) context.fillText(phase, a + 6, BAND / 2 - 1);
  }
  context.restore();
}

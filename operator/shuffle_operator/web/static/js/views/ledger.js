// The ledger of rows and bytes: read = sent = stored = written.

import { el, fill, mark, say, show } from "../dom.js";
import { bytes, clean, count, counted, known } from "../format.js";
import { card } from "./card.js";

const PLACES = [
  ["read", "Read", "from the store"],
  ["sent", "Sent", "to other workers"],
  ["stored", "Stored", "by those who write"],
  ["written", "Written", "in output files"],
];
const SIGNS = { "=": "equals", "✓": "agrees with", "≠": "differs from", "→": "goes to" };

export class Ledger {
  constructor() {
    this.places = PLACES.map(([key, title, where]) => {
      const [rows, size] = [el("p"), el("small")];
      return { key, where, rows, size, node: el("div", { class: "place" }, el("h3", {}, title), rows, size) };
    });
    this.signs = PLACES.slice(1).map(() => el("div", { class: "sign" }));
    this.checks = el("ul", { class: "checks" });
    this.again = el("p", { class: "aside" });
    const parts = this.places.flatMap((place, n) => (n ? [this.signs[n - 1], place.node] : [place.node]));
    this.node = card("ledger", "Ledger", "Every row that is read must be written, once", el("div", { class: "flow" }, parts), this.checks, this.again);
  }

  update(job) {
    const { rows } = job;
    for (const { key, where, rows: node, size } of this.places) {
      const amount = rows[key];
      say(node, known(amount.rows) ? counted(amount.rows, rows.unit === "row" ? "row" : "element") : "–");
      say(size, known(amount.bytes) ? `${bytes(amount.bytes)} ${where}` : where);
    }
    this.signs.forEach((node, n) => {
      const [sign, holds] = between(rows, PLACES[n][0], PLACES[n + 1][0]);
      mark(node, "data-holds", String(holds));
      if (node.firstChild?.textContent !== sign) fill(node, el("span", { "aria-hidden": "true" }, sign), el("span", { class: "away" }, SIGNS[sign]));
    });
    fill(this.checks, rows.checks.map(check));
    const text = again(job);
    say(this.again, text);
    show(this.again, Boolean(text));
  }
}

/** The sign between two places, and whether they agree by the checks of the document: null where that is not known. What
 * was sent again after a loss is in one figure and not in the other, so two that agree may differ. */
function between(rows, from, to) {
  const found = rows.checks.find(({ what }) => what.includes(from) && what.includes(to));
  const same = known(rows[from].rows) && rows[from].rows > 0 && rows[from].rows === rows[to].rows;
  if (found?.holds === false) return ["≠", false];
  if (same) return ["=", found?.holds ?? true];
  return found?.holds ? ["✓", true] : ["→", null];
}

function check({ what, holds, text }) {
  const sign = { true: "✓", false: "✕", null: "·" }[holds];
  const said = { true: "holds", false: "does not hold", null: "not known yet" }[holds];
  return el(
    "li",
    { "data-holds": String(holds) },
    el("span", { "aria-hidden": "true" }, sign),
    el("span", { class: "data" }, clean(what, 200), el("span", { class: "away" }, ` ${said}`), text ? el("span", { class: "muted" }, ` – ${clean(text, 600)}`) : null),
  );
}

function again({ rows, refused, repeated, corrupt }) {
  const parts = [];
  if (rows.spilled > 0) parts.push(`${bytes(rows.spilled)} went over scratch, because they did not fit in memory.`);
  if (rows.splits_again > 0) {
    parts.push(`Done again after losses: ${counted(rows.splits_again, "split")}, ${bytes(rows.read_again)} read and ${bytes(rows.sent_again)} sent.`);
  }
  const frames = [[refused, "refused"], [repeated, "repeated"], [corrupt, "corrupt"]].filter(([n]) => n > 0);
  if (frames.length) parts.push(`Frames that did not count: ${frames.map(([n, word]) => `${count(n)} ${word}`).join(", ")}.`);
  return parts.join(" ");
}

// Tables behind the plots: for screen readers, for copying, for exact figures. Of 40,000 rows only those in view are in
// the document, all of one height; the table says to assistive technology how many there are.

import { el, fill, mark } from "./dom.js";
import { clean } from "./format.js";

const ROW = 30;
const SPARE = 8;
const WHOLE = 60;

/**
 * A table that grows and scrolls. `columns`: {title, value(row), number?, wide?}; a value is text, or a node of its own.
 * Up to 60 rows stand in it as they are; more scroll in a box.
 */
export class Table {
  constructor(caption, columns, { order = null } = {}) {
    this.columns = columns;
    this.rows = [];
    this._order = order;
    this._asked = false;
    this.body = el("tbody");
    this.caption = el("caption", {}, caption);
    this.heads = columns.map((column) => this._head(column));
    this.table = el("table", {}, this.caption, el("thead", {}, el("tr", {}, this.heads)), this.body);
    this.node = el("div", { class: "table", tabindex: "0", role: "region", "aria-label": caption }, this.table);
    this.node.addEventListener("scroll", () => this._ask(), { passive: true });
    new ResizeObserver(() => this._ask()).observe(this.node);
  }

  /** Other rows. */
  set(rows) {
    this.rows = this._order ? [...rows].sort(this._compare()) : rows;
    this._drawn = null;
    this._ask();
  }

  _head(column) {
    const attributes = { scope: "col", class: column.number ? "number" : null };
    if (!column.order) return el("th", attributes, column.title);
    const button = el("button", { type: "button", class: "sort" }, column.title);
    const head = el("th", attributes, button);
    button.addEventListener("click", () => {
      const falling = this._order?.column === column && this._order.falling;
      this._order = { column, falling: !falling };
      this.heads.forEach((one) => mark(one, "aria-sort", null));
      mark(head, "aria-sort", falling ? "ascending" : "descending");
      this.set(this.rows);
    });
    return head;
  }

  _compare() {
    const { column, falling } = this._order;
    const sign = falling ? -1 : 1;
    return (a, b) => {
      const [x, y] = [column.order(a), column.order(b)];
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    };
  }

  _ask() {
    if (this._asked) return;
    this._asked = true;
    requestAnimationFrame(() => {
      this._asked = false;
      this._draw();
    });
  }

  _draw() {
    const { rows, node } = this;
    const boxed = rows.length > WHOLE;
    node.classList.toggle("boxed", boxed);
    if (node.clientHeight === 0 && boxed) return; // folded away
    const first = boxed ? Math.max(0, Math.floor(node.scrollTop / ROW) - SPARE) : 0;
    const last = boxed ? Math.min(rows.length, Math.ceil((node.scrollTop + node.clientHeight) / ROW) + SPARE) : rows.length;
    const drawn = `${first} ${last}`;
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    const parts = [];
    if (first > 0) parts.push(space(this.columns.length, first * ROW));
    for (let at = first; at < last; at += 1) parts.push(this._row(rows[at], boxed ? at + 2 : null));
    if (last < rows.length) parts.push(space(this.columns.length, (rows.length - last) * ROW));
    fill(this.body, parts);
    mark(this.table, "aria-rowcount", boxed ? rows.length + 1 : null);
  }

  _row(row, index) {
    const cells = this.columns.map((column, at) => {
      const value = column.value(row);
      const attributes = { class: column.number ? "number" : column.wide ? "wide" : null };
      if (at === 0) attributes.scope = "row";
      return el(at === 0 ? "th" : "td", attributes, value instanceof Node ? value : clean(value));
    });
    return el("tr", { "aria-rowindex": index }, cells);
  }
}

function space(columns, height) {
  return el("tr", { "aria-hidden": "true", class: "space" }, el("td", { colspan: columns, style: { height: `${height}px` } }));
}

/** A plot's table, folded away until somebody wants it. */
export function behind(table, label = "Table") {
  const details = el("details", { class: "behind" }, el("summary", {}, label), table.node);
  details.addEventListener("toggle", () => table._ask());
  return details;
}

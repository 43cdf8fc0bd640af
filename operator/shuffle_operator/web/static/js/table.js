// Tables behind the plots: for screen readers, for copying, for exact figures. Of 40,000 rows only those in view are in
// the document, all of one height; the table says to assistive technology how many there are.

import { el, mark } from "./dom.js";
import { clean } from "./format.js";

const SPARE = 8;
const WHOLE = 60;

/**
 * A table that grows and scrolls. `columns`: {title, value(row), number?, wide?, order?(row)}; a value is text, or a node
 * of its own. Up to 60 rows stand in it as they are; more scroll in a box, each `high` pixels.
 */
export class Table {
  constructor(caption, columns, { high = 30 } = {}) {
    this.columns = columns;
    this._high = high;
    this.rows = [];
    this._order = null;
    this._asked = false;
    this.body = el("tbody");
    this.caption = el("caption", {}, caption);
    this.heads = columns.map((column) => this._head(column));
    this.table = el("table", {}, this.caption, el("thead", {}, el("tr", {}, this.heads)), this.body);
    this.node = el("div", { class: "table", tabindex: "0", role: "region", "aria-label": caption, style: { "--row": `${high}px` } }, this.table);
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

  /** Bring the rows that are in view into the document; those that stay are kept as they are. */
  _draw() {
    const { rows, node } = this;
    const boxed = rows.length > WHOLE;
    node.classList.toggle("boxed", boxed);
    if (node.clientHeight === 0) return; // folded away
    const first = boxed ? Math.max(0, Math.floor(node.scrollTop / this._high) - SPARE) : 0;
    const last = boxed ? Math.min(rows.length, Math.ceil((node.scrollTop + node.clientHeight) / this._high) + SPARE) : rows.length;
    if (this._drawn?.first === first && this._drawn.last === last) return;
    if (!this._drawn) this._shown = this._emptied(boxed);
    this._drawn = { first, last };
    this._window(first, last, boxed);
    this.above.firstChild.style.height = `${first * this._high}px`;
    this.below.firstChild.style.height = `${(rows.length - last) * this._high}px`;
    mark(this.table, "aria-rowcount", boxed ? rows.length + 1 : null);
    this._fix(boxed);
  }

  /** Rows that scroll have an empty one above and below them, as high as what is left out there. */
  _emptied(boxed) {
    [this.above, this.below] = [space(this.columns.length), space(this.columns.length)];
    this.body.replaceChildren(...(boxed ? [this.above, this.below] : []));
    return new Map();
  }

  _window(first, last, boxed) {
    for (const [at, row] of this._shown) {
      if (at >= first && at < last) continue;
      row.remove();
      this._shown.delete(at);
    }
    let next = boxed ? this.below : null;
    for (let at = last - 1; at >= first; at -= 1) {
      let row = this._shown.get(at);
      if (!row) {
        row = this._row(this.rows[at], boxed ? at + 2 : null);
        this._shown.set(at, row);
        this.body.insertBefore(row, next);
      }
      next = row;
    }
  }

  /** Columns of a box that scrolls keep the widths that its first rows gave them. */
  _fix(boxed) {
    if (boxed === this.node.classList.contains("fixed")) return;
    const spare = this.table.scrollWidth > this.node.clientWidth ? 6 : 0; // else there is room already
    const widths = boxed ? this.heads.map((head) => Math.floor(head.getBoundingClientRect().width) + spare) : [];
    this.heads.forEach((head, n) => { head.style.width = boxed ? `${widths[n]}px` : ""; });
    this.table.style.width = boxed ? `max(100%, ${widths.reduce((sum, one) => sum + one, 0)}px)` : "";
    this.node.classList.toggle("fixed", boxed);
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

function space(columns) {
  return el("tr", { "aria-hidden": "true", class: "space" }, el("td", { colspan: columns }));
}

/** A plot's table, folded away until somebody wants it. */
export function behind(table, label = "Table") {
  const details = el("details", { class: "behind" }, el("summary", {}, label), table.node);
  details.addEventListener("toggle", () => table._ask());
  return details;
}

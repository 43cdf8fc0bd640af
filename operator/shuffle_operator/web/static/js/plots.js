// Lines over time, by uPlot (vendor/): one cursor for all plots, colours of the theme, a width that follows the page.

import { FONT } from "./canvas.js";
import { el } from "./dom.js";
import { clock, tick } from "./format.js";
import { colour, onTheme } from "./theme.js";

const HEIGHT = 190;
const plots = new Map();
const cursors = globalThis.uPlot?.sync("time");
const sized = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) plots.get(target)?.resize(contentRect.width);
});

/**
 * A plot over seconds since the job's start. `series`: {label, colour, fill?, dash?, width?}; `format` writes a value; `steps`
 * are the distances that ticks of the value axis may have (null: uPlot's own); `least` is the least height of that axis.
 */
export class Plot {
  constructor({ label, series, format, steps = null, height = HEIGHT, least = 1 }) {
    this.series = series;
    this._format = format;
    this._steps = steps;
    this._least = least;
    this._height = height;
    this._data = [[], ...series.map(() => [])];
    this.host = el("div", { class: "plot", role: "img", "aria-label": label, style: { height: `${height}px` } });
    this.values = series.map((one) => el("span", { class: "value" }));
    this.legend = el(
      "ul",
      { class: "legend" },
      series.map((one, at) =>
        el("li", {}, el("span", { class: `key${one.dash ? " dashed" : ""}`, style: { "--key": `var(--${one.colour})` } }), one.label, " ", this.values[at]),
      ),
    );
    this.moment = el("li", { class: "moment" });
    this.legend.append(this.moment);
    this.node = el("div", {}, this.legend, this.host);
    plots.set(this.host, this);
    sized.observe(this.host);
    onTheme(() => this.redraw());
  }

  /** [seconds, values of the first series, of the second ...]; null where there is none. */
  set(data) {
    this._data = data;
    if (this.plot) this.plot.setData(data);
    else this.resize(this.host.clientWidth);
    this._show(null);
  }

  resize(width) {
    if (width < 40) return;
    if (!this.plot) this._make(width);
    else if (Math.abs(this.plot.width - width) >= 1) this.plot.setSize({ width, height: this._height });
  }

  redraw() {
    this.plot?.redraw(false, true);
  }

  _make(width) {
    const grid = { stroke: () => colour("grid"), width: 1 };
    const axis = { stroke: () => colour("muted"), font: FONT, grid, ticks: { show: false } };
    const spline = { spanGaps: false, points: { show: false } };
    this.plot = new globalThis.uPlot(
      {
        width,
        height: this._height,
        legend: { show: false },
        padding: [10, 12, 0, 0],
        cursor: { sync: { key: cursors.key, setSeries: false }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
        scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(this._least, most * 1.05)] } },
        axes: [
          { ...axis, size: 28, values: (_, at, __, ___, step) => at.map((second) => tick(second, step)), incrs: INCREMENTS },
          { ...axis, size: 78, ...(this._steps ? { incrs: this._steps } : {}), values: (_, at) => at.map((value) => this._format(value)) },
        ],
        series: [
          {},
          ...this.series.map((one) => ({
            ...spline,
            label: one.label,
            stroke: () => colour(one.colour),
            width: one.width ?? 1.75,
            dash: one.dash,
            fill: one.fill ? () => colour(`${one.colour}-soft`) : undefined,
          })),
        ],
        hooks: { setCursor: [(plot) => this._show(plot.cursor.idx ?? null)] },
      },
      this._data,
      this.host,
    );
  }

  /** The values under the cursor, or the latest ones. */
  _show(at) {
    const times = this._data[0];
    const index = at ?? times.length - 1;
    this.values.forEach((node, series) => {
      const value = this._data[series + 1][index];
      node.textContent = value === null || value === undefined ? "" : this._format(value);
    });
    this.moment.textContent = at === null || times[index] === undefined ? "" : `at ${clock(times[index])}`;
  }
}

const INCREMENTS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

/** Steps of an axis of bytes: 1, 2, 4 ... 512 of each unit. */
export const BYTE_STEPS = Array.from({ length: 52 }, (_, power) => 2 ** power);

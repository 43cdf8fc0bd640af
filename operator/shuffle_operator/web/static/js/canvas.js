// A canvas that is as sharp as the screen, and is drawn at most once a frame, only while it can be seen.

import { onTheme } from "./theme.js";

const drawings = new Map();
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) drawings.get(target)?.seen(isIntersecting);
}, { rootMargin: "200px" });
const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) drawings.get(target)?.ask();
});

/** Draws on `canvas` when asked to, in CSS pixels: `paint(context, width, height)`. */
export class Drawing {
  constructor(canvas, paint) {
    this.canvas = canvas;
    this._paint = paint;
    this._asked = false;
    this._due = true;
    this._visible = false;
    drawings.set(canvas, this);
    seen.observe(canvas);
    sized.observe(canvas);
    onTheme(() => this.ask());
  }

  /** Something changed: draw with the next frame, or when the canvas comes into view. */
  ask() {
    this._due = true;
    if (this._asked || !this._visible) return;
    this._asked = true;
    requestAnimationFrame(() => {
      this._asked = false;
      this._draw();
    });
  }

  seen(visible) {
    this._visible = visible;
    if (visible && this._due) this.ask();
  }

  _draw() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    this._due = false;
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== wide || canvas.height !== high) {
      canvas.width = wide;
      canvas.height = high;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this._paint(context, width, height);
  }
}

/** Steps of a time axis that people read easily: their distance in seconds, for about `most` of them. */
export function timeStep(span, most) {
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  return steps.find((step) => span / step <= most) ?? Math.ceil(span / most / 86400) * 86400;
}

export const FONT = '11px Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';

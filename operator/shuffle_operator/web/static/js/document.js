// The document of a job (history/document.py), and how the updates of a live page change it.

/** The newest format that this page can show. */
export const FORMAT = 1;

/** Apply one update in place; returns the document. */
export function apply(document, update) {
  let whole = update.reset ? {} : document;
  for (const [path, length] of Object.entries(update.length ?? {})) {
    const list = at(whole, path.split("/"));
    if (Array.isArray(list) && list.length > length) list.length = length;
  }
  for (const [path, value] of Object.entries(update.set ?? {})) {
    const steps = path === "" ? [] : path.split("/");
    const last = steps.pop();
    if (last === undefined) whole = value;
    else set(whole, steps, last, value);
  }
  return whole;
}

const FORBIDDEN = new Set(["__proto__", "prototype", "constructor"]);

function at(node, steps) {
  for (const step of steps) {
    if (node === null || typeof node !== "object" || !Object.hasOwn(node, step)) return undefined;
    node = node[step];
  }
  return node;
}

function set(node, steps, last, value) {
  for (const step of [...steps, last]) if (FORBIDDEN.has(step)) return;
  steps.forEach((step, n) => {
    const next = steps[n + 1] ?? last;
    if (!Object.hasOwn(node, step) || node[step] === null) node[step] = /^\d+$/.test(next) ? [] : {};
    node = node[step];
  });
  node[last] = value;
}

/** Moments in which a column of the timeline ends, in seconds since the job began. */
export function ends(document) {
  const { width, samples } = document.timeline;
  return samples.map((_, n) => Math.min((n + 1) * width, Math.max(document.progress.seconds, n * width)));
}

/** A counter's growth in a second, column by column; a column that has just begun says nothing yet. */
export function throughput(document, counter) {
  const times = ends(document);
  const { samples, width } = document.timeline;
  return samples.map((sample, n) => {
    const since = n ? times[n - 1] : 0;
    const seconds = times[n] - since;
    if (seconds < 0.25 * width) return null;
    return Math.max(0, sample[counter] - (n ? samples[n - 1][counter] : 0)) / seconds;
  });
}

/** The share of all workers' time that each kind took: [[kind, seconds, share]], the largest first. */
export function shares(activities, kinds) {
  const sums = kinds.map((kind) => activities.reduce((sum, one) => sum + (one[kind.field] ?? 0), 0));
  const whole = sums.reduce((a, b) => a + b, 0);
  return kinds.map((kind, n) => [kind, sums[n], whole ? sums[n] / whole : 0]).sort((a, b) => b[1] - a[1]);
}

// The document of a job (history/document.py), and how the updates of a live page change it.

/** The newest format that this page can show. */
export const FORMAT = 1;

/** Apply one update in place; returns the document. */
export function apply(document, update) {
  let whole = update.reset ? {} : document;
  for (const [path, length] of Object.entries(update.length ?? {})) {
    const steps = path.split("/");
    const list = at(whole, steps);
    if (list === undefined) set(whole, steps.slice(0, -1), steps.at(-1), []); // an empty list has no items that would make it
    else if (Array.isArray(list) && list.length > length) list.length = length;
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

/** The same, averaged over `span` columns: what is counted when leases end comes in bursts. */
export function smoothed(document, counter, span) {
  const times = [0, ...ends(document)];
  const counts = [0, ...document.timeline.samples.map((sample) => sample[counter])];
  const half = Math.max(1, Math.floor(span / 2));
  return counts.slice(1).map((_, n) => {
    const [from, to] = [Math.max(0, n + 1 - half), Math.min(counts.length - 1, n + 1 + half)];
    return Math.max(0, counts[to] - counts[from]) / Math.max(times[to] - times[from], 1e-9);
  });
}

// Bytes a second, read, sent, spilled and written; and how far the job was at each moment.

import { ends, smoothed, throughput } from "../document.js";
import { el, say } from "../dom.js";
import { bytes, duration, moment, percent, rate } from "../format.js";
import { BYTE_STEPS, Plot } from "../plots.js";
import { Table, behind } from "../table.js";
import { card } from "./card.js";

const SERIES = [
  ["bytes_read", "Read", "read"],
  ["bytes_sent", "Sent", "send"],
  ["bytes_spilled", "Spilled", "disk"],
  ["bytes_written", "Written", "write"],
];

export class Throughput {
  constructor() {
    this.plot = new Plot({
      label: "Throughput over time: bytes a second that were read, sent, spilled and written. The table has the figures.",
      series: SERIES.map(([, label, colour]) => ({ label, colour, fill: colour === "read" || colour === "write" })),
      format: rate,
      steps: BYTE_STEPS,
      least: 1024,
    });
    this.table = new Table("Throughput over time", [
      { title: "Until", value: (row) => moment(row.end, row.width) },
      ...SERIES.map(([counter, label]) => ({ title: label, number: true, value: (row) => (row[counter] === null ? "–" : rate(row[counter])) })),
      { title: "Done", number: true, value: (row) => percent(row.percent / 100) },
      { title: "Rows read", number: true, value: (row) => row.rows_read.toLocaleString("en-US") },
      { title: "Read in all", number: true, value: (row) => bytes(row.read) },
    ]);
    this.lead = el("p");
    this.node = card("throughput", "Throughput", this.lead, this.plot.node, behind(this.table));
  }

  update(job) {
    const times = ends(job);
    const rates = SERIES.map(([counter]) => throughput(job, counter));
    const span = Math.max(2, Math.round(times.length / 16));
    say(this.lead, `All workers together, averaged over ${duration(span * job.timeline.width)}`);
    this.plot.set([times, ...SERIES.map(([counter]) => smoothed(job, counter, span))]);
    this.table.set(
      job.timeline.samples.map((sample, n) => ({
        end: times[n],
        width: job.timeline.width,
        percent: sample.percent,
        rows_read: sample.rows_read,
        read: sample.bytes_read,
        ...Object.fromEntries(SERIES.map(([counter], at) => [counter, rates[at][n]])),
      })),
    );
  }
}

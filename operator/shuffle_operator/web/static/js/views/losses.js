// The workers that were lost and what each cost; everything that happened; the output.

import { el, fill, say, show } from "../dom.js";
import { bytes, clean, clock, count, counted, duration, known } from "../format.js";
import { Table, behind } from "../table.js";
import { card, none } from "./card.js";

export class Losses {
  constructor() {
    this.none = none("No worker was lost.");
    this.table = new Table("Workers that were lost, and what each cost", [
      { title: "At", value: (one) => clock(one.at) },
      { title: "Worker", value: (one) => String(one.worker) },
      { title: "Why", wide: true, value: (one) => `${clean(one.why, 400)}${one.fault ? " (a failure of its own)" : ""}` },
      { title: "Groups again", number: true, value: (one) => count(one.groups) },
      { title: "Splits read, sent again", number: true, value: (one) => `${count(one.splits_read)}, ${count(one.splits_resent)}` },
      { title: "Bytes read, sent again", number: true, value: (one) => `${bytes(one.bytes_read)}, ${bytes(one.bytes_sent)}` },
      { title: "Work lost", number: true, value: (one) => duration(one.seconds_lost) },
      { title: "Made good after", number: true, value: (one) => (known(one.repaired_after) ? duration(one.repaired_after) : "–") },
    ]);
    this.left = el("p", { class: "hint" });
    this.marks = new Table("What happened, in order", [
      { title: "At", value: (one) => clock(one.at) },
      { title: "What", value: (one) => (one.kind === "loss" ? "lost" : clean(one.kind, 20)) },
      { title: "Worker", value: (one) => (one.worker >= 0 ? String(one.worker) : "–") },
      { title: "In words", wide: true, value: (one) => clean(one.text, 400) },
    ]);
    this.history = behind(this.marks, "Everything that happened");
    this.node = card("losses", "Losses", "Workers that were lost, and what each cost", this.none, this.table.node, this.left, this.history);
  }

  update(job) {
    const { losses, marks } = job;
    const text = JSON.stringify([losses, marks]);
    if (text === this._drawn) return;
    this._drawn = text;
    const some = losses.lost.length > 0;
    show(this.none, !some);
    show(this.table.node, some);
    this.table.set(losses.lost);
    const hidden = [];
    if (losses.left_out) hidden.push(`${counted(losses.left_out, "loss", "losses")} in between ${losses.left_out === 1 ? "is" : "are"} not told one by one.`);
    if (some) hidden.push(`${byKind(losses)}; the epoch rose ${marks.epochs === 1 ? "once" : `${count(marks.epochs)} times`}.`);
    say(this.left, hidden.join(" "));
    this.marks.set(marks.marks);
    show(this.history, marks.marks.length > 0);
  }
}

/** 1 worker failed by itself, 2 were taken away. */
function byKind({ failures, disruptions }) {
  const parts = [];
  if (failures) parts.push(`${counted(failures, "worker")} failed by ${failures === 1 ? "itself" : "themselves"}`);
  if (disruptions) parts.push(`${failures ? count(disruptions) : counted(disruptions, "worker")} ${disruptions === 1 ? "was" : "were"} taken away`);
  return parts.join(", ") || "None failed by itself, none was taken away";
}

export class Output {
  constructor() {
    this.list = el("dl", { class: "facts" });
    this.node = card("output", "Output", null, this.list);
  }

  update(job) {
    const { output } = job;
    const text = JSON.stringify([output, job.job]);
    if (text === this._drawn) return;
    this._drawn = text;
    const facts = [
      ["Folder", output.path || job.job.output],
      ["Files", output.files ? `${counted(output.files, "file")}, ${counted(output.rows, job.rows.unit)}, ${bytes(output.bytes)}` : "none yet"],
      ["Manifest", output.manifest || (job.progress.over ? "none" : "written with the commit")],
      ["Input", job.job.inputs.join("\n")],
      ["Operation", `${job.job.operation}${job.job.method ? `, ${job.job.method}` : ""}`],
      ["Job", `${job.job.namespace ? `${job.job.namespace}/` : ""}${job.job.name} (${job.job.uid})`],
      ["Recorded by", `shuffle-operator ${job.job.version}`],
    ];
    if (output.left_behind) facts.splice(2, 0, ["Left behind", "The job failed, and what it had written could not be removed."]);
    fill(this.list, facts.filter(([, value]) => value).map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", { class: "data" }, clean(value, 4000)))));
  }
}

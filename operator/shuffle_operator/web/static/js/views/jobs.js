// The list of jobs.

import { el, mark, say, show } from "../dom.js";
import { bytes, clean, count, counted, duration, percent } from "../format.js";
import { Table } from "../table.js";
import { themeSwitch } from "../theme.js";
import { none } from "./card.js";
import { calendar, phase } from "./now.js";

const PAUSE = 2_000;

export class Jobs {
  /** `api`: the address of the list; `page(uid)`: that of a job's page. */
  constructor(root, api, page) {
    this._api = api;
    this.link = el("span", { class: "link", role: "status" });
    this.banner = el("p", { class: "banner", role: "status", hidden: true });
    this.none = none("There are no jobs.");
    this.more = el("p", { class: "hint" });
    this.table = new Table("Jobs, the newest first", [
      { title: "Job", value: (job) => named(job, page(job.uid)) },
      { title: "Namespace", value: (job) => clean(job.namespace, 80) || "–" },
      { title: "Phase", value: (job) => badge(job.phase) },
      { title: "Done", number: true, value: (job) => bar(job) },
      { title: "Began", value: (job) => calendar(job.started) },
      { title: "Time", number: true, value: (job) => duration(job.seconds) },
      { title: "Workers", number: true, value: (job) => count(job.workers) },
      { title: "Rows read", number: true, value: (job) => count(job.rows_read) },
      { title: "Written", number: true, value: (job) => bytes(job.bytes_written) },
    ], { high: 58 });
    root.append(
      el("header", { class: "top" }, el("div", { class: "top-row" }, el("h1", {}, "ShuffleJobs"), this.link, el("span", { class: "space" }), themeSwitch())),
      el("main", { id: "main", tabindex: "-1" }, this.banner, el("section", { class: "card jobs", "aria-label": "Jobs" }, this.none, this.table.node, this.more)),
    );
    document.title = "ShuffleJobs";
    this._load();
  }

  async _load() {
    if (!document.hidden) await this._once();
    setTimeout(() => this._load(), PAUSE);
  }

  async _once() {
    try {
      const answer = await fetch(this._api, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
      if (!answer.ok) throw new Error(answer.status === 401 || answer.status === 403 ? "You may not see these jobs; sign in again and load the page anew." : `The answer was ${answer.status}; trying again.`);
      this._set(await answer.text());
      this._state("live", "Live", "");
    } catch (error) {
      this._state("lost", "Connection lost", error instanceof TypeError || error.name === "TimeoutError" ? "Nobody answers; trying again." : error.message);
    }
  }

  _set(text) {
    if (text === this._text) return;
    this._text = text;
    const { jobs, left_out: out } = JSON.parse(text);
    show(this.none, !jobs.length);
    show(this.table.node, jobs.length > 0);
    this.table.set(jobs);
    say(this.more, out ? `${counted(out, "older job")} ${out === 1 ? "is" : "are"} not shown.` : "");
  }

  _state(state, text, banner) {
    mark(this.link, "data-state", state);
    say(this.link, text);
    say(this.banner, banner);
    show(this.banner, Boolean(banner));
  }
}

/** A job's name, and below it the sentence of its status. */
function named(job, address) {
  return el("div", {}, el("a", { href: address, class: "data" }, clean(job.name, 120)), el("span", { class: "message data", title: clean(job.message, 1000) }, clean(job.message, 300)));
}

function badge(name) {
  const node = el("span", { class: "phase" });
  phase(node, name);
  return node;
}

function bar(job) {
  const share = job.percent / 100;
  return el("span", {}, el("span", { class: "share", "aria-hidden": "true" }, el("i", { style: { width: `${(100 * share).toFixed(1)}%` } })), el("span", { class: "figure" }, percent(share)));
}

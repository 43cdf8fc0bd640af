// The page of one job: a bar that stays, and a section for each view. The same live and in a report.

import { el, mark, say, show } from "./dom.js";
import { clean, duration } from "./format.js";
import { FORMAT } from "./document.js";
import { themeSwitch } from "./theme.js";
import { Ledger } from "./views/ledger.js";
import { Losses, Output } from "./views/losses.js";
import { Memory } from "./views/memory.js";
import { Now, calendar, phase } from "./views/now.js";
import { Plan } from "./views/plan.js";
import { Skew } from "./views/skew.js";
import { Throughput } from "./views/throughput.js";
import { Timeline } from "./views/timeline.js";
import { Transfers } from "./views/transfers.js";
import { Verdict } from "./views/verdict.js";

const SAID = {
  connecting: "Connecting",
  live: "Live",
  stale: "No news",
  lost: "Connection lost",
  gone: "The job is gone",
  refused: "Not allowed",
  over: "Finished",
  report: "Report",
};

export class Page {
  /** `back`: the address of the list of jobs, null where there is none. */
  constructor(root, { back = null, report = null } = {}) {
    this.name = el("h1", { class: "data" }, "ShuffleJob");
    this.phase = el("span", { class: "phase" });
    this.link = el("span", { class: "link", role: "status" });
    this.banner = el("p", { class: "banner", role: "status", hidden: true });
    this.views = [new Now(), new Verdict(), new Throughput(), new Timeline(), new Plan(), new Ledger(), new Skew(), new Memory(), new Transfers(), new Losses(), new Output()];
    const links = this.views.slice(1).map(({ node }) => el("a", { href: `#${node.id}` }, node.querySelector("h2").textContent.replace("What bounds this job", "Verdict")));
    this.save = report ? el("a", { class: "quiet", href: report, download: "report.html" }, "Save report") : null;
    root.append(
      el("header", { class: "top" },
        el("div", { class: "top-row" }, back ? el("a", { class: "back", href: back }, "← Jobs") : null, this.name, this.phase, this.link, el("span", { class: "space" }), this.save, themeSwitch()),
        el("nav", { class: "contents", "aria-label": "On this page" }, links),
      ),
      el("main", { id: "main", tabindex: "-1" }, this.banner, this.views.map(({ node }) => node)),
    );
    this.nav = root.querySelector("nav");
    this.waits = el("p", { class: "none" }, "Waiting for the first figures.");
    this.banner.after(this.waits);
    this._sections(false);
    follow(links);
  }

  _sections(visible) {
    for (const { node } of this.views) show(node, visible);
    for (const node of [this.nav, this.phase, this.save]) if (node) show(node, visible);
  }

  update(job) {
    this.newer = job.format > FORMAT;
    if (this.newer) {
      this._sections(false);
      show(this.waits, false);
      this.warn("bad", `This was recorded by a newer version (${clean(job.job?.version, 40)}) than this page knows. Open it with that version.`);
      return;
    }
    if (!this.job) this._sections(true);
    show(this.waits, false);
    this.job = job;
    const name = clean(job.job.name, 200);
    say(this.name, name);
    phase(this.phase, job.progress.phase);
    document.title = `${job.progress.over ? job.progress.phase : `${Math.floor(job.progress.percent)} %`} · ${name}`;
    for (const view of this.views) view.update(job);
  }

  /** Where the figures come from, and how fresh they are. */
  state(state, silence = 0) {
    mark(this.link, "data-state", state);
    say(this.link, SAID[state] ?? state);
    if (this.newer) return;
    const since = this.job ? ` What you see is of ${calendar(this.job.recorded)}.` : "";
    const texts = {
      stale: `Nothing has come for ${duration(silence)}, although the connection stands.${since}`,
      lost: `There is no connection; trying again.${this.job?.progress.over ? " The job was over." : ""}${since}`,
      gone: `${this.job ? "The job is gone" : "There is no such job"}: it was removed, or the program that ran it has ended.${since}`,
      refused: `You may not see this job; sign in again and load the page anew.${since}`,
    };
    if (state === "gone" || state === "refused") show(this.waits, false);
    this.warn("warn", texts[state] ?? "");
  }

  warn(kind, text) {
    mark(this.banner, "data-kind", kind);
    say(this.banner, text);
    show(this.banner, Boolean(text));
  }
}

/** Mark the link of the section that is being read. */
function follow(links) {
  const by = new Map(links.map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target.id) : seen.delete(target.id);
    const first = [...by.keys()].find((id) => seen.has(id));
    for (const [id, link] of by) mark(link, "aria-current", id === first ? "true" : null);
  }, { rootMargin: "-15% 0px -55% 0px" });
  for (const id of by.keys()) observer.observe(document.getElementById(id));
}

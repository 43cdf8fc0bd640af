// What this page is: a report if a job's document lies in it, the page of a job or the list of jobs by its address.

import { el } from "./dom.js";
import { Feed } from "./live.js";
import { Page } from "./page.js";
import { themeSwitch } from "./theme.js";
import { Jobs } from "./views/jobs.js";

const root = document.getElementById("page");
root.replaceChildren();

function start() {
  const kind = document.body.dataset.page;
  if (kind === "report") return report();
  const base = new URL(document.body.dataset.root, location.href);
  if (kind === "job") return job(base);
  return new Jobs(root, new URL("api/jobs", base), (uid) => new URL(`jobs/${encodeURIComponent(uid)}`, base));
}

function job(base) {
  const uid = location.pathname.replace(/\/+$/, "").split("/").pop();
  const api = new URL(`api/jobs/${uid}`, base);
  const page = new Page(root, { back: base, report: `${api}/report.html` });
  let drawn = false;
  let latest = null;
  const draw = () => {
    drawn = false;
    page.update(latest);
  };
  new Feed(api.href, {
    onDocument: (found) => {
      latest = found;
      if (!drawn) requestAnimationFrame(draw);
      drawn = true;
    },
    onState: (state, silence) => page.state(state, silence),
  });
  return page;
}

function report() {
  let found;
  try {
    found = JSON.parse(document.getElementById("history").textContent);
  } catch {
    root.append(
      el("header", { class: "top" }, el("div", { class: "top-row" }, el("h1", {}, "Report of a ShuffleJob"), el("span", { class: "space" }), themeSwitch())),
      el("main", {}, el("p", { class: "banner", "data-kind": "bad", role: "alert" }, "This report is not whole: its end is missing, or it was changed. Make it again, or copy it again from where it came.")),
    );
    return null;
  }
  const page = new Page(root);
  page.update(found);
  page.state("report");
  return page;
}

start();

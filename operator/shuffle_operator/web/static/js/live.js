// A live document: server-sent events, connected again when they break off; says when it is stale or the job is gone.

import { apply } from "./document.js";

const STALE = 20_000;
const WATCH = 1_000;
const PAUSES = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000];

/**
 * Follows the events at `events`. `onDocument(document)` after each state that is whole; `onState(state, detail)` with
 * connecting, live, stale (connected, but nothing came for 20 s), lost (nobody answers; it goes on trying), gone (there is
 * no such job any more), refused (not allowed), over (the job is, and everything is here).
 */
export class Feed {
  constructor(job, { onDocument, onState }) {
    this._job = job;
    this._onDocument = onDocument;
    this._onState = onState;
    this._document = {};
    this._failures = 0;
    this._heard = Date.now();
    this._state = "";
    this._open();
    this._watch = setInterval(() => this._look(), WATCH);
  }

  _open() {
    this._say("connecting");
    const source = (this._source = new EventSource(new URL(`${this._job}/events`, this._job)));
    source.addEventListener("open", () => {
      this._failures = 0;
      this._heard = Date.now();
      this._say("live");
    });
    source.addEventListener("update", (event) => this._update(event));
    source.addEventListener("end", () => this._close("over"));
    source.addEventListener("error", () => this._failed(source));
  }

  _update(event) {
    const update = JSON.parse(event.data);
    this._document = apply(this._document, update);
    this._heard = Date.now();
    this._say("live");
    if (!update.more) this._onDocument(this._document);
  }

  /** A browser tries again by itself where the connection broke off, and then says what it has seen; it gives up where it
   * was refused. */
  async _failed(source) {
    if (source !== this._source || this._over()) return;
    this._say("lost");
    const answer = await this._ask();
    if (source !== this._source || this._over()) return;
    if (answer === 404 || answer === 410) this._close("gone");
    else if (answer === 401 || answer === 403) this._close("refused");
    else if (source.readyState === EventSource.CLOSED) {
      this._source = null;
      const pause = PAUSES[Math.min(this._failures, PAUSES.length - 1)];
      this._failures += 1;
      setTimeout(() => { if (!this._over()) this._open(); }, pause);
    }
  }

  async _ask() {
    try {
      return (await fetch(this._job, { method: "GET", cache: "no-store", signal: AbortSignal.timeout(5_000) })).status;
    } catch {
      return 0;
    }
  }

  _look() {
    if (this._state === "live" && Date.now() - this._heard > STALE) this._say("stale");
    else if (this._state === "stale" || this._state === "lost") this._onState(this._state, this.silence);
  }

  /** Seconds since something was heard. */
  get silence() {
    return (Date.now() - this._heard) / 1000;
  }

  _over() {
    return ["over", "gone", "refused"].includes(this._state);
  }

  _close(state) {
    this._source?.close();
    clearInterval(this._watch);
    this._say(state);
  }

  _say(state) {
    if (state === this._state || (state === "connecting" && this._state === "lost")) return;
    this._state = state;
    this._onState(state, this.silence);
  }
}

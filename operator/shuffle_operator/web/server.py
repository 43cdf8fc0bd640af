"""The pages of jobs over HTTP: the same for the operator and for a job on one machine. Reads only.

    GET /                            the list of jobs
    GET /jobs/{uid}                  a job's page
    GET /static/{name}               what the pages are made of
    GET /api/jobs                    `JobList`
    GET /api/jobs/{uid}              `JobHistory`
    GET /api/jobs/{uid}/events       server-sent events: `Update`s (docs/job-page.md)
    GET /api/jobs/{uid}/report.html  the job's report

Bounded: `MOST_LISTENERS` pages are live at a time; one that does not take an update within `PATIENCE` seconds is hung
up on, and its browser connects again. What is kept for a page is what its socket holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from aiohttp import hdrs, web

from shuffle_operator.history.document import JobHistory, JobList
from shuffle_operator.web import assets
from shuffle_operator.web.access import Access
from shuffle_operator.web.feed import PERIOD, Feed
from shuffle_operator.web.report import file_name, render
from shuffle_protocol.connections import ConnectionGate

MOST_LISTENERS = 64
HEARTBEAT = 15.0
"""Seconds without news after which a comment is sent, so that proxies keep the connection."""
PATIENCE = 15.0
"""Seconds that a page may take for an update of at most 64 KiB."""
RETRY = 2000
"""Milliseconds after which a browser connects again."""
IDLE_FEEDS = 16
"""Jobs that nobody watches whose live document is kept all the same, so that pages that connect again need not begin
anew. One is some 1 MiB with 500 workers."""


class Jobs(Protocol):
    """The jobs that may be looked at."""

    def jobs(self) -> JobList: ...

    def history(self, uid: str) -> JobHistory | None:
        """None: there is no such job, or nothing is known of it any more."""
        ...


class DashboardServer:
    """Serves the pages of some jobs. period: seconds between two looks at a job that somebody watches; most: pages that
    are live at a time."""

    def __init__(self, jobs: Jobs, access: Access, *, period: float = PERIOD, most: int = MOST_LISTENERS) -> None:
        self.listeners = 0
        self._jobs = jobs
        self._access = access
        self._period = period
        self._most = most
        self._feeds: dict[str, Feed] = {}
        self._listed: tuple[float, bytes] | None = None
        self._gate: ConnectionGate | None = None
        self._stopping = asyncio.Event()
        self._alone = asyncio.Event()
        self._alone.set()
        self.app = web.Application(client_max_size=1024, middlewares=[self._guard])
        self.app.add_routes(
            [
                web.get("/", self._list_page),
                web.get("/jobs/{uid}", self._job_page),
                web.get("/static/{name}", self._static),
                web.get("/api/jobs", self._list),
                web.get("/api/jobs/{uid}", self._job),
                web.get("/api/jobs/{uid}/events", self._events, allow_head=False),  # its answer has no end
                web.get("/api/jobs/{uid}/report.html", self._report),
            ]
        )

    async def start(self, host: str, port: int = 0) -> str:
        """Returns the address, `http://host:port`. Raises OSError where the port is taken."""
        runner = web.AppRunner(
            self.app, access_log=None, handle_signals=False, shutdown_timeout=1.0, handler_cancellation=True
        )  # a page that is closed is noticed at once, not with the next update
        await runner.setup()
        self._gate = ConnectionGate(runner, most=4 * self._most)
        try:
            return "http://" + await self._gate.open(host, port)
        except OSError:
            await self._gate.close()
            raise

    async def drain(self, within: float) -> None:
        """The jobs have ended: let pages that are open have the end of them, for so many seconds at most."""
        for feed in self._feeds.values():
            if feed.listeners:
                feed.look()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._alone.wait(), within)

    async def stop(self) -> None:
        self._stopping.set()
        for feed in self._feeds.values():
            feed.stop()
        if self._gate is not None:
            await self._gate.close()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Who may look, and the headers of every answer, refusals too."""
        try:
            self._access.check(request)
            if self._gate is not None:
                self._gate.known(request)
            answer = await handler(request)
        except web.HTTPException as error:
            error.headers.update(assets.HEADERS)
            raise
        if not answer.prepared:
            answer.headers.update(assets.HEADERS)
        return answer

    # -- pages -------------------------------------------------------------------------------------------------------

    async def _list_page(self, request: web.Request) -> web.Response:
        return _served(request, assets.page("jobs"))

    async def _job_page(self, request: web.Request) -> web.Response:
        return _served(request, assets.page("job"))

    async def _static(self, request: web.Request) -> web.Response:
        found = assets.asset(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="there is no such file")
        return _served(request, found)

    # -- data --------------------------------------------------------------------------------------------------------

    async def _list(self, _request: web.Request) -> web.Response:
        """Made once in a period, however many pages ask for it."""
        now = asyncio.get_running_loop().time()
        if self._listed is None or now - self._listed[0] >= self._period:
            self._listed = now, msgspec.json.encode(self._jobs.jobs())
        return _json(self._listed[1])

    async def _job(self, request: web.Request) -> web.Response:
        return _json(msgspec.json.encode(self._history(request)))

    async def _report(self, request: web.Request) -> web.Response:
        history = self._history(request)
        answer = web.Response(text=render(history), content_type="text/html", headers={hdrs.CACHE_CONTROL: "no-store"})
        answer.headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{file_name(history.job.name)}"'
        return answer

    def _history(self, request: web.Request) -> JobHistory:
        history = self._jobs.history(request.match_info["uid"])
        if history is None:
            raise web.HTTPNotFound(text="nothing is known of this job (any more)")
        return history

    async def _events(self, request: web.Request) -> web.StreamResponse:
        uid = request.match_info["uid"]
        if uid not in self._feeds:
            self._history(request)
        if self.listeners >= self._most:
            raise web.HTTPServiceUnavailable(
                text=f"{self._most} pages are open already: close one", headers={hdrs.RETRY_AFTER: "30"}
            )
        self.listeners += 1
        self._alone.clear()
        try:
            return await self._stream(request, self._feed(uid))
        finally:
            self.listeners -= 1
            if not self.listeners:
                self._alone.set()

    async def _stream(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        answer = web.StreamResponse(
            headers={**assets.HEADERS, hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
        )
        answer.content_type = "text/event-stream"
        await answer.prepare(request)
        sending = asyncio.ensure_future(self._send(request, answer, feed))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([sending, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
        return answer

    async def _send(self, request: web.Request, answer: web.StreamResponse, feed: Feed) -> None:
        try:
            await answer.write(f"retry: {RETRY}\n\n".encode())
            seen = request.headers.get("Last-Event-ID", "")
            async with contextlib.aclosing(feed.listen(seen, HEARTBEAT)) as updates:
                async for update in updates:
                    self._access.check(request)  # the token may have been replaced since
                    text = b":\n\n" if update is None else _event(update.id, update.data)
                    async with asyncio.timeout(PATIENCE):
                        await answer.write(text)
            async with asyncio.timeout(PATIENCE):
                await answer.write(b"event: end\ndata: {}\n\n")
                await answer.write_eof()
        except (ConnectionError, TimeoutError, web.HTTPUnauthorized):  # it is gone, takes nothing, or may look no more
            if request.transport is not None:
                request.transport.abort()

    def _feed(self, uid: str) -> Feed:
        found = self._feeds.pop(uid, None)
        if found is None:
            found = Feed(lambda: self._jobs.history(uid), self._period)
            idle = [name for name, feed in self._feeds.items() if not feed.listeners]
            for name in idle[: max(0, len(idle) - IDLE_FEEDS)]:
                del self._feeds[name]
        self._feeds[uid] = found  # the newest last
        return found


def _event(number: str, data: bytes) -> bytes:
    """JSON has no line ends, so one line of data will do."""
    return b"id: %s\nevent: update\ndata: %s\n\n" % (number.encode(), data)


def _json(data: bytes) -> web.Response:
    answer = web.Response(body=data, content_type="application/json")
    answer.headers[hdrs.CACHE_CONTROL] = "no-store"
    return answer


def _served(request: web.Request, asset: assets.Asset) -> web.Response:
    """A file; browsers ask whether theirs is still the same."""
    headers = {hdrs.ETAG: f'"{asset.etag}"', hdrs.CACHE_CONTROL: "no-cache", hdrs.VARY: hdrs.ACCEPT_ENCODING}
    if f'"{asset.etag}"' in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = asset.content_type
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        return web.Response(body=asset.packed, headers={**headers, hdrs.CONTENT_ENCODING: "gzip"})
    return web.Response(body=asset.body, headers=headers)

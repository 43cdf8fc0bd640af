"""A server of pages whose jobs do what a test says: for what no real job can be made to do in time."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from shuffle_operator.history.document import JobHistory
from shuffle_operator.web import assets

_RETRY = b"retry: 200\n\n"


class Stage:
    """One job, at `http://127.0.0.1:{port}/jobs/made-up`. It may stop and start again at the same port."""

    def __init__(self) -> None:
        self.history: JobHistory | None = None
        """None: there is no such job."""
        self.status = 200
        """Of the answers on the job."""
        self.jobs: list[dict[str, Any]] = []
        self.opened = 0
        """Connections for events so far."""
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._listeners: set[asyncio.Queue[bytes | None]] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/jobs/{uid}", self._page)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/api/jobs", self._list)
        app.router.add_get("/api/jobs/{uid}", self._job)
        app.router.add_get("/api/jobs/{uid}/events", self._events)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Every connection breaks off."""
        self.drop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def drop(self) -> None:
        for queue in self._listeners:
            queue.put_nowait(None)

    def show(self, history: JobHistory) -> None:
        """Send all of it, as one update."""
        self.history = history
        self.send(whole(history))

    def send(self, update: dict[str, Any], event: str = "update") -> None:
        for queue in self._listeners:
            queue.put_nowait(_event(update, event))

    def end(self) -> None:
        self.send({}, "end")

    # -- answers ------------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        return _answer(assets.page("job" if "uid" in request.match_info else "jobs"))

    async def _static(self, request: web.Request) -> web.Response:
        found = assets.asset(request.match_info["name"])
        return _answer(found) if found is not None else web.Response(status=404)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"jobs": self.jobs, "left_out": 0}, headers=assets.HEADERS)

    async def _job(self, request: web.Request) -> web.Response:
        if self.status != 200 or self.history is None:
            return web.Response(status=404 if self.status == 200 else self.status)
        return web.Response(body=msgspec.json.encode(self.history), content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self.opened += 1
        if self.status != 200 or self.history is None:
            return web.Response(status=404 if self.status == 200 else self.status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        queue.put_nowait(b"retry: 200\n\n" + _RETRY + _event(whole(self.history)))
        self._listeners.add(queue)
        try:
            while (event := await queue.get()) is not None:
                await response.write(event)
        finally:
            self._listeners.discard(queue)
        if request.transport is not None:
            request.transport.abort()
        return response


def whole(history: JobHistory) -> dict[str, Any]:
    return {"reset": True, "set": msgspec.to_builtins(history)}


def _event(update: dict[str, Any], event: str = "update") -> bytes:
    return b"event: " + event.encode() + b"\ndata: " + msgspec.json.encode(update) + b"\n\n"


def _answer(asset: assets.Asset) -> web.Response:
    return web.Response(body=asset.body, headers={**assets.HEADERS, "Content-Type": asset.content_type})

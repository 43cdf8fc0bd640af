"""The coordinator's HTTP side: two calls for workers, one for people. A thin shell around the state machines.

    POST /v1/jobs/{job}/register, /sync   from workers, with the job's token (Authorization: Bearer ...)
    GET  /v1/jobs/{job}                   a snapshot as JSON, with the same token
    GET  /v1/jobs/{job}/report            the job's report as HTML, for the worker that commits
    GET  /healthz

With TLS it listens on a second port, where each job has its own certificate (tls/contexts.py). A job is answered on one
of the two, as its workers were started, and on the other like one that is unknown.

A sync of an idle worker is held back until there is news for it (`Wake`) or its wait is over, so that work starts the
moment it is due and an idle worker costs a message every ten seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web

from shuffle_operator.coordinator.actions import Action, Wake
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.status import snapshot
from shuffle_operator.tls.contexts import JobContext, JobContexts
from shuffle_protocol import wire
from shuffle_protocol.connections import ConnectionGate
from shuffle_protocol.messages import MAX_CONTROL_BODY, Orders, Register, Sync, View

T = TypeVar("T")
M = TypeVar("M")
R = TypeVar("R")

PIECE = 64 << 10
"""An answer larger than this is sent in pieces, each when the one before has gone: views are large and many workers
get them at once, and what waits to be sent is memory."""

ANSWERS_AT_ONCE = 256
"""Answers larger than a piece that are being sent at a time."""

BACKLOG = 4096
"""Connections that may wait to be taken: a job's workers all come at once."""

PATIENCE = 30.0
"""Seconds that a worker has to take such an answer."""

_PLACE = msgspec.Raw(b'"<view>"')


def _deflated(data: bytes, last: bool = False) -> bytes:
    """As blocks that stand by themselves (RFC 1951), so that a stream can be put together from such. Quickly, for
    everybody waits meanwhile: 5 ms for 10,000 workers, and the best level saves another fifteenth."""
    stream = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)


class EncodedView:
    """A view as it is sent. Memory: its JSON, and less than half of that again once somebody is sent it deflated."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.text = msgspec.json.encode(view)

    @cached_property
    def deflated(self) -> bytes:
        return _deflated(self.text)


@dataclass(frozen=True, slots=True)
class Body:
    """An answer's body, in parts of which a view, the second of three, is not copied for each worker."""

    parts: list[bytes]
    deflated: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))


@dataclass(slots=True)
class Hosted:
    """A job that this server answers for. `act` carries out what the machine asks for (a launcher, events)."""

    machine: Coordinator
    digest: bytes
    """SHA-256 of the job's token: all that is needed to recognise it."""
    act: Callable[[Action], None]
    secure: bool = False
    """It is answered over TLS only."""
    report: Callable[[], bytes] = bytes
    """The job's report as it is written beside the output; b"" where there is none."""
    may_stop: bool = True
    """Whether answers may say that the job is over; False until the status says so."""
    raised: Callable[[Exception], None] = lambda _: None
    """Called with what the machine raised over a worker's message; the answer asks that worker to come again."""
    news: dict[int, asyncio.Event] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _encoded: dict[int, EncodedView] = field(default_factory=dict)  # by base

    def _view(self, view: View) -> EncodedView:
        """Made once for all workers that are sent it."""
        found = self._encoded.get(view.base)
        if found is not None and found.view is view:
            return found
        if any(other.view.epoch != view.epoch for other in self._encoded.values()):
            self._encoded.clear()
        made = self._encoded[view.base] = EncodedView(view)
        return made

    def encode(self, orders: Orders, deflate: bool) -> Body:
        """As JSON. deflate: the caller takes it deflated, which is done where it is large."""
        if orders.view is None:
            return Body([msgspec.json.encode(orders)])
        frame = msgspec.json.encode(msgspec.structs.replace(orders, view=_PLACE))
        before, _, after = frame.partition(bytes(_PLACE))
        view = self._view(orders.view)
        if deflate and len(view.text) > PIECE:
            return Body([_deflated(before), view.deflated, _deflated(after, last=True)], deflated=True)
        return Body([before, view.text, after])

    def perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Wake):
                for worker in self.news if action.workers is None else action.workers & self.news.keys():
                    self.news[worker].set()
            else:
                self.act(action)
        self.changed.set()

    def ask(self, event: Callable[[M, float], tuple[R, list[Action]]], message: M, now: float) -> R:
        """Give the machine a worker's message, do what it asks for, and return its reply."""
        try:
            reply, actions = event(message, now)
            self.perform(actions)
        except Exception as error:
            self.raised(error)
            raise web.HTTPServiceUnavailable(text="the coordinator could not deal with this message") from error
        return reply

    def release(self) -> None:
        """Workers may know that the job is over."""
        self.may_stop = True
        self.perform([Wake(None)])


class Unhosted(Enum):
    """What is known of a job that is not hosted."""

    AWAITED = auto()
    OVER = auto()
    UNKNOWN = auto()


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


NO_DIGEST = bytes(32)
LARGE, LARGE_AT_ONCE = 4 << 20, 2
"""Bytes of a body above which only so many are read at a time."""
BODY_WITHIN = 30.0
"""Seconds for a whole body."""


class CoordinatorServer:
    """Hosts any number of jobs on one address. Refused calls are counted in `refused`.

    unhosted: says what workers of a job that is not hosted are answered: to come again, because it may be before long
    (503), that it is over (410), or that nobody knows it (401)."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        unhosted: Callable[[str], Unhosted] = lambda _: Unhosted.UNKNOWN,
    ) -> None:
        self.jobs: dict[str, Hosted] = {}
        self.refused = 0
        self._clock = clock
        self._unhosted = unhosted
        self.health: Callable[[], str] = lambda: ""
        """What is wrong with the process that this is in; "" where nothing is."""
        self._large_bodies = asyncio.Semaphore(LARGE_AT_ONCE)
        self._gate: ConnectionGate | None = None
        self._stopped = False
        self._large_answers = asyncio.Semaphore(ANSWERS_AT_ONCE)
        self.app = web.Application(client_max_size=MAX_CONTROL_BODY)
        self.app.add_routes(
            [
                web.post(wire.REGISTER, self._register),
                web.post(wire.SYNC, self._sync),
                web.get("/v1/jobs/{job}", self._snapshot),
                web.get(wire.REPORT, self._report),
                web.get("/healthz", self._health),
            ]
        )

    async def start(self, host: str, port: int = 0) -> str:
        """Returns the address, `http://host:port`."""
        runner = web.AppRunner(self.app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._gate = ConnectionGate(runner)
        return "http://" + await self._gate.open(host, port, backlog=BACKLOG)

    async def start_secure(self, contexts: JobContexts, host: str, port: int = 0) -> str:
        """The port with TLS, beside the other. Returns the address, `https://host:port`."""
        assert self._gate is not None
        return "https://" + await self._gate.open(host, port, contexts.listening, backlog=BACKLOG)

    async def stop(self) -> None:
        """Connections that are being made just now are hung up on: their callers find the next operator."""
        self._stopped = True
        if self._gate is not None:
            await self._gate.close()

    def host(
        self, machine: Coordinator, token: str | bytes, act: Callable[[Action], None], *, secure: bool = False
    ) -> Hosted:
        """token: the job's, or its digest."""
        hosted = Hosted(machine, token if isinstance(token, bytes) else digest_of(token), act, secure)
        self.jobs[machine.state.job.uid] = hosted
        return hosted

    def _authorised(self, request: web.Request) -> Hosted:
        """The same answer for an unknown job, for a wrong token, and for the wrong port: nothing can be learned by
        asking."""
        if self._stopped:
            gone = web.HTTPServiceUnavailable(text="this operator has stopped")
            gone.force_close()
            raise gone
        uid = request.match_info["job"]
        certified = _certified(request)
        if certified not in (None, uid):
            raise self._refuse()  # with TLS a caller has named the job that it wants before
        hosted = self.jobs.get(uid)
        if hosted is None:
            known = self._unhosted(uid)
            if known is Unhosted.AWAITED:
                raise web.HTTPServiceUnavailable(text="the coordinator is not ready for this job yet")
            if known is Unhosted.OVER:
                raise web.HTTPGone(text="the job is over")
        given = digest_of(request.headers.get("Authorization", "").removeprefix("Bearer "))
        right = hmac.compare_digest(given, hosted.digest if hosted is not None else NO_DIGEST)
        if hosted is None or not right or hosted.secure != (certified is not None):
            raise self._refuse()
        if self._gate is not None:
            self._gate.known(request)
        return hosted

    def _refuse(self) -> web.HTTPUnauthorized:
        self.refused += 1
        return web.HTTPUnauthorized(text="unknown job or wrong token")

    async def _body(self, request: web.Request) -> bytes:
        """Of a caller that is known. Few large ones are taken in at once, so that all workers together, or one that
        does not mean well, cannot take all memory."""
        if (request.content_length or 0) > MAX_CONTROL_BODY:
            raise web.HTTPRequestEntityTooLarge(MAX_CONTROL_BODY, request.content_length or 0)
        try:
            async with asyncio.timeout(BODY_WITHIN):
                if request.content_length is not None and request.content_length <= LARGE:
                    return await request.read()
                async with self._large_bodies:
                    return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text=f"the body did not come within {BODY_WITHIN:.0f} s") from None

    async def _register(self, request: web.Request) -> web.Response:
        hosted = self._authorised(request)
        message = _decode(await self._body(request), Register)
        if hosted.machine.state.over:  # a worker that comes late, after a loss or a slow start, did nothing wrong
            if not hosted.may_stop:
                raise web.HTTPServiceUnavailable(text="the coordinator is about to end this job")
            raise web.HTTPGone(text="the job is over")
        reply = hosted.ask(hosted.machine.register, message, self._clock())
        if reply.accepted:
            hosted.news.setdefault(message.worker, asyncio.Event())
        return _encode(reply)

    async def _sync(self, request: web.Request) -> web.StreamResponse:
        hosted = self._authorised(request)
        message = _decode(await self._body(request), Sync)
        deadline = self._clock() + min(message.wait, hosted.machine.state.settings.poll)
        news = hosted.news.get(message.worker) or asyncio.Event()  # one that has not registered hears so at once
        news.clear()
        while True:
            orders = hosted.ask(hosted.machine.sync, message, self._clock())
            if orders.stop and not hosted.may_stop:
                orders = msgspec.structs.replace(orders, stop=False)
            left = deadline - self._clock()
            if left <= 0 or _says_something(orders, message):
                return await self._answer(request, hosted, orders)
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                continue
            finally:
                news.clear()

    async def _answer(self, request: web.Request, hosted: Hosted, orders: Orders) -> web.StreamResponse:
        body = hosted.encode(orders, "deflate" in request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        headers = {hdrs.CONTENT_ENCODING: "deflate"} if body.deflated else {}
        if body.size <= PIECE:
            return web.Response(body=b"".join(body.parts), headers=headers, content_type="application/json")
        response = web.StreamResponse(headers=headers)
        response.content_type = "application/json"
        response.content_length = body.size
        async with self._large_answers:
            try:
                async with asyncio.timeout(PATIENCE):
                    await response.prepare(request)
                    for part in body.parts:
                        for start in range(0, len(part), PIECE):
                            await response.write(part[start : start + PIECE])
                    await response.write_eof()
            except (ConnectionError, TimeoutError):  # it will ask again, or is gone
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _snapshot(self, request: web.Request) -> web.Response:
        return _encode(snapshot(self._authorised(request).machine.state, self._clock()))

    async def _report(self, request: web.Request) -> web.Response:
        """For the worker that commits: only workers touch storage."""
        return web.Response(body=self._authorised(request).report(), content_type="text/html", charset="utf-8")

    async def _health(self, _request: web.Request) -> web.Response:
        wrong = self.health()
        return passing(web.Response(text=wrong or "ok", status=500 if wrong else 200))


def passing(answer: web.Response) -> web.Response:
    """For callers without a token: the connection is closed with the answer (shuffle_protocol/connections.py)."""
    answer.force_close()
    return answer


def _certified(request: web.Request) -> str | None:
    """The job whose certificate the caller asked for; None without TLS."""
    connection = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
    if connection is None:
        return None
    return connection.context.job if isinstance(connection.context, JobContext) else ""


def _says_something(orders: Orders, message: Sync) -> bool:
    """Whether an answer tells the worker anything it does not know."""
    if orders.stop or not orders.known or orders.acknowledged or orders.view is not None or orders.show_view:
        return True
    return {lease.id for lease in orders.leases} != set(message.holding)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return wire.decode(body, kind)
    except wire.WireError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def _encode(message: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(message), content_type="application/json")

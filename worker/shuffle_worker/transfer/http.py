"""The transports over HTTP, by aiohttp: frames between workers, control messages to the coordinator.

    HttpPeers    PeerTransport      one POST a frame, with Content-Length, in pieces of 64 KiB to 1 MiB
    PeerServer   (FrameHandler)     takes them in, as they come off the socket, never a whole body at once
    HttpControl  ControlTransport   register and sync

Each with TLS where it is given a `Tls`, and then never without.

Why like this: a body as an async iterator with a known length, read as it comes off the socket, moves three to five
times the bytes for the same processor time as whole bodies in one `bytes` (docs/architecture.md). Nothing here computes
on a body: no decoding, no checksums of payloads, no disk.

Memory: a sender holds a piece beside the shards themselves; a receiver what one read of the socket brings (64 KiB to
128 KiB), and a frame's header (at most `MAX_HEADER`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from shuffle_protocol import wire
from shuffle_protocol.acks import Ack
from shuffle_protocol.connections import ConnectionGate
from shuffle_protocol.errors import JobError
from shuffle_protocol.frames import (
    MAX_HEADER,
    MAX_PAYLOAD,
    PREFIX_SIZE,
    Frame,
    FrameError,
    FrameHeader,
    decode_header,
    decode_prefix,
    encode,
)
from shuffle_protocol.messages import MAX_CONTROL_BODY, Member, Orders, Register, Registered, Sync
from shuffle_protocol.shards import Buffer
from shuffle_protocol.tls import Tls
from shuffle_worker.transfer.transport import FrameHandler, Interrupted, Over, Refused, Unreachable

T = TypeVar("T")

log = logging.getLogger(__name__)

SMALL = 64 << 10
"""Bytes below which a buffer is not worth a call of the socket by itself."""

JOINED = 256 << 10
"""Bytes up to which small buffers are copied together; larger ones cost more, because they leave the processor's
cache."""

PIECE = 1 << 20
"""Bytes that a sender hands to the socket in one go at the most."""

REFUSALS = frozenset({400, 401, 403, 409, 413, 426})
"""Answers of a coordinator that trying again does not change."""
OVER = 410
"""Its answer where the job is finished."""


class HttpSettings(Struct, frozen=True):
    """Timeouts and connections of the transports."""

    connect: float = 5.0
    """Seconds for a connection to be made."""
    stall: float = 60.0
    """Seconds without any progress (a piece taken by the other side, or come from it, or the answer) after which a peer
    is given up; longer than a receiver may have to wait for its disk."""
    control: float = 10.0
    """Seconds for a control message and its answer, beyond the wait it asks for."""
    again: float = 3.0
    """Seconds after which one that was not answered is sent once more, over another connection."""
    connections: int = 2
    """Connections to one peer at once; more frames wait for one to be free."""


class HttpPeers:
    """Implements `transport.PeerTransport`. Used in one event loop. A member's address is `host:port`."""

    def __init__(self, token: str, settings: HttpSettings | None = None, tls: Tls | None = None) -> None:
        self._token = token
        self._settings = settings or HttpSettings()
        self._session: aiohttp.ClientSession | None = None
        self._scheme = "http" if tls is None else "https"
        self._ssl = True if tls is None else tls.client  # True: what aiohttp does by itself
        self._name = None if tls is None else tls.worker

    async def send(self, member: Member, frame: Frame) -> Ack:
        encoded = encode(frame)
        url = f"{self._scheme}://{member.address}{wire.SHARDS.format(job=frame.job)}"
        who = f"worker {member.worker} at {member.address}"
        headers = {hdrs.CONTENT_LENGTH: str(encoded.length), hdrs.CONTENT_TYPE: "application/octet-stream"}
        stall = self._settings.stall
        try:
            async with asyncio.timeout(None) as limit:
                body = _watched(_pieces(encoded.header, encoded.buffers), limit, stall)
                async with self._open().post(
                    url, data=body, headers=headers, allow_redirects=False, ssl=self._ssl, server_hostname=self._name
                ) as response:
                    answer = await _beginning(response, wire.MAX_ANSWER)
        except TimeoutError as error:
            reason = str(error) or f"no progress for {stall:g} seconds"
            raise Unreachable(f"{who}: {reason}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"{who}: {error or type(error).__name__}") from None
        if response.status == wire.GAVE_UP:
            raise wire.gave_up(answer)
        if response.status != 200:
            raise Unreachable(f"{who} answered {response.status}: {wire.problem(answer)}")
        try:
            return wire.decode(answer, wire.Answer).verdict
        except wire.WireError as error:
            raise Unreachable(f"{who}: {error}") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=self._settings.connections)
            self._session = _session(connector, self._token, self._settings)
        return self._session


class PeerServer:
    """Listens for peers' frames of one job and gives them to a handler. Use it in one event loop: `start`, `stop`.

    Whatever arrives, the answer is an ack or an error that says what is wrong; a caller without the token learns
    nothing. unauthorized, malformed: requests refused for that.
    """

    def __init__(
        self,
        job: str,
        token: str,
        handler: FrameHandler,
        host: str,
        port: int = 0,
        settings: HttpSettings | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.unauthorized = 0
        self.malformed = 0
        self._job = job
        self._token = token
        self._handler = handler
        self._host = host
        self._port = port
        self._settings = settings or HttpSettings()
        self._ssl = None if tls is None else tls.server
        self._gate: ConnectionGate | None = None

    async def start(self) -> str:
        """Answers the address that peers use, with the port that was got where 0 was asked for."""
        app = web.Application()
        app.router.add_post(wire.SHARDS, self._shards)
        app.router.add_get(wire.HEALTH, self._health)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._gate = ConnectionGate(runner)
        return await self._gate.open(self._host, self._port, self._ssl, keepalive=300.0)

    async def stop(self) -> None:
        """Frames that are being received are broken off after a second."""
        if self._gate is not None:
            await self._gate.close()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _shards(self, request: web.Request) -> web.Response:
        if not wire.authorized(request.headers.get(hdrs.AUTHORIZATION), self._token):
            self.unauthorized += 1
            return _refusal(401, "this call needs the job's token")
        if self._gate is not None:
            self._gate.known(request)
        if request.match_info["job"] != self._job:
            return _refusal(404, "this worker is in another job")
        size = request.content_length
        if size is None:
            return self._bad("a frame needs a Content-Length")
        if size > MAX_HEADER + MAX_PAYLOAD:
            return self._bad(f"a frame of {size} bytes; {MAX_HEADER + MAX_PAYLOAD} is the most", status=413)
        body = _Body(request.content, size, self._settings.stall)
        try:
            header = await self._header(body, size)
            ack = await self._handler.receive(header, body.rest())
            await body.discard()
        except FrameError as error:
            return self._bad(str(error))
        except JobError as error:
            with suppress(Interrupted):
                await body.discard()
            return _refusal(wire.GAVE_UP, error.message, error.reason)
        except Interrupted:
            return _refusal(400, "the body broke off")  # nobody is listening, most likely
        finally:
            body.close()
        return web.Response(body=wire.encode(wire.Answer(ack)), content_type="application/json")

    async def _header(self, body: _Body, size: int) -> FrameHeader:
        if size < PREFIX_SIZE:
            raise FrameError(f"{size} bytes where a frame begins with {PREFIX_SIZE}")
        prefix = decode_prefix(await body.ahead(PREFIX_SIZE))
        if prefix.header + prefix.payload != size:
            raise FrameError(f"a frame of {prefix.header + prefix.payload} bytes in a body of {size}")
        header = decode_header(await body.take(prefix.header))
        if header.job != self._job:
            raise FrameError(f"a frame of job {header.job!r} sent to job {self._job!r}")
        return header

    def _bad(self, message: str, status: int = 400) -> web.Response:
        self.malformed += 1
        log.warning("a frame was refused: %s", message)
        return _refusal(status, message)


class _Body:
    """A request's body of `size` bytes: a header to be collected, the rest to be passed on as it comes.

    One timer watches over it, because a timeout around each of very many small reads would cost a fifth of the
    transfer."""

    def __init__(self, content: aiohttp.StreamReader, size: int, stall: float) -> None:
        self._content = content
        self._left = size  # bytes that have not come yet
        self._stall = stall
        self._held = bytearray()  # bytes that came and were not taken
        self._waiting = False
        self._seen = -1  # what was left when the timer last looked
        self._timer = asyncio.get_running_loop().call_later(stall, self._look)

    async def ahead(self, count: int) -> bytes:
        """The next `count` bytes, left where they are."""
        while len(self._held) < count:
            self._held += await self._next()
        with memoryview(self._held) as view:
            return bytes(view[:count])

    async def take(self, count: int) -> bytes:
        taken = await self.ahead(count)
        del self._held[:count]
        return taken

    async def rest(self) -> AsyncIterator[bytes]:
        """Raises Interrupted where the body ends too soon, or nothing comes for too long."""
        if self._held:
            held, self._held = bytes(self._held), bytearray()
            yield held
        while self._left:
            yield await self._next()

    async def discard(self) -> None:
        """Read to the end: a sender that is answered before it has sent everything takes it for a lost connection."""
        while self._left:
            await self._next()

    def close(self) -> None:
        self._timer.cancel()

    async def _next(self) -> bytes:
        self._waiting = True
        try:
            piece = await self._content.readany()
        except (TimeoutError, OSError, aiohttp.ClientError, HttpProcessingError) as error:
            raise Interrupted(str(error)) from None
        finally:
            self._waiting = False
        if not piece:
            raise Interrupted("the body ended too soon")
        self._left -= len(piece)
        return piece

    def _look(self) -> None:
        """Every `stall` seconds: has anything come since, if something was waited for?"""
        if self._waiting and self._seen == self._left:
            self._content.set_exception(TimeoutError(f"nothing came for {self._stall:g} seconds"))
            return
        self._seen = self._left if self._waiting else -1
        self._timer = asyncio.get_running_loop().call_later(self._stall, self._look)


CONTROL_CALLS = 3
"""Control messages on their way at once, which is one and those that repeat it."""


class HttpControl:
    """Implements `transport.ControlTransport`. url: the coordinator's, `http://host:port`; `https://` with TLS.

    Its connections are its own, and what becomes of one of them must not make a worker look silent: on a link that is
    full of shards a packet or two may be lost, and TCP then waits for seconds, as does a lookup of the address. So a
    message without an answer is repeated over another connection, and an address that worked is not looked up again."""

    def __init__(
        self, url: str, token: str, job: str, settings: HttpSettings | None = None, tls: Tls | None = None
    ) -> None:
        if url.startswith("https://") != (tls is not None):  # neither plain text by mistake, nor somebody else's trust
            raise ValueError(f"{url} and {'no ' if tls is None else ''}certificates do not go together")
        self._ssl = True if tls is None else tls.client
        self._name = None if tls is None else tls.coordinator
        self._register = url.rstrip("/") + wire.REGISTER.format(job=job)
        self._sync = url.rstrip("/") + wire.SYNC.format(job=job)
        self._token = token
        self._settings = settings or HttpSettings()
        self._session: aiohttp.ClientSession | None = None
        self._connector: aiohttp.TCPConnector | None = None

    async def register(self, message: Register) -> Registered:
        return await self._call(self._register, message, Registered, 0.0)

    async def sync(self, message: Sync) -> Orders:
        return await self._call(self._sync, message, Orders, message.wait)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(self, url: str, message: Struct, kind: type[T], wait: float) -> T:
        """Both calls may be made twice without harm: the first answer counts."""
        calls: list[asyncio.Task[T]] = []
        limit: float | None = wait + self._settings.again
        try:
            while True:
                calls.append(asyncio.create_task(self._persistently(url, message, kind, wait)))
                if len(calls) == CONTROL_CALLS:
                    limit = None
                done, _ = await asyncio.wait(calls, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    return done.pop().result()
                if isinstance(message, Sync):
                    message, wait = msgspec.structs.replace(message, wait=0.0), 0.0
                limit = self._settings.again
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def _persistently(self, url: str, message: Struct, kind: type[T], wait: float) -> T:
        """Where the connection turns out to be gone, once more at once."""
        try:
            return await self._once(url, message, kind, wait)
        except aiohttp.ServerDisconnectedError:
            pass
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._lost(url, error) from None
        try:
            return await self._once(url, message, kind, wait)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._lost(url, error) from None

    def _lost(self, url: str, error: Exception) -> Unreachable:
        if self._connector is not None:
            self._connector.clear_dns_cache()
        return Unreachable(f"the coordinator at {url}: {str(error) or type(error).__name__}")

    async def _once(self, url: str, message: Struct, kind: type[T], wait: float) -> T:
        data = wire.encode(message)
        if len(data) > MAX_CONTROL_BODY:
            raise Refused(f"a message of {len(data)} bytes to the coordinator; {MAX_CONTROL_BODY} is the most")
        if self._session is None:
            self._connector = aiohttp.TCPConnector(limit=CONTROL_CALLS + 1, ttl_dns_cache=None, keepalive_timeout=60)
            self._session = _session(self._connector, self._token, self._settings)
        timeout = aiohttp.ClientTimeout(total=wait + self._settings.control, sock_connect=self._settings.connect)
        headers = {hdrs.CONTENT_TYPE: "application/json"}
        async with self._session.post(
            url,
            data=data,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            ssl=self._ssl,
            server_hostname=self._name,
        ) as response:
            if response.status != 200:
                said = wire.problem(await _beginning(response, wire.MAX_ANSWER)) or response.reason or "no reason"
                if response.status == OVER:
                    raise Over(said)
                if response.status in REFUSALS:
                    raise Refused(said)
                raise Unreachable(f"the coordinator at {url} answered {response.status}: {said}")
            try:
                return wire.decode(await wire.collect(response.content.iter_any()), kind)
            except wire.WireError as error:
                raise Unreachable(f"the coordinator at {url}: {error}") from None


def _session(connector: aiohttp.TCPConnector, token: str, settings: HttpSettings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={hdrs.AUTHORIZATION: wire.bearer(token)},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect),
    )


def _refusal(status: int, message: str, reason: str = "") -> web.Response:
    return web.Response(
        status=status, body=wire.encode(wire.ErrorBody(message, reason)), content_type="application/json"
    )


async def _beginning(response: aiohttp.ClientResponse, limit: int) -> bytearray:
    """A body's first bytes, whatever comes behind them."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece[: limit - len(body)]
        if len(body) >= limit:
            break
    return body


async def _watched(pieces: Iterable[Buffer], limit: asyncio.Timeout, stall: float) -> AsyncIterator[Buffer]:
    """The pieces, each put back by `stall` seconds the moment at which the sender gives up."""
    loop = asyncio.get_running_loop()
    for piece in pieces:
        with suppress(RuntimeError):  # it gave up already
            limit.reschedule(loop.time() + stall)
        yield piece
    with suppress(RuntimeError):
        limit.reschedule(loop.time() + stall)


def _pieces(header: bytes, buffers: Iterable[Buffer]) -> Iterable[Buffer]:
    """The frame's bytes as they go to the socket: small buffers put together, large ones cut."""
    waiting: list[Buffer] = [header]
    size = len(header)
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        small = view.nbytes < SMALL
        if size and (not small or size + view.nbytes > JOINED):
            yield b"".join(waiting)
            waiting, size = [], 0
        if small:
            waiting.append(view)
            size += view.nbytes
        else:
            for at in range(0, view.nbytes, PIECE):
                yield view[at : at + PIECE]
    if size:
        yield b"".join(waiting)

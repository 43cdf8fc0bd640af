"""A worker's server: receives its peers' frames as they come off the socket, never a whole body at once.

Memory: the bytes of one read of the socket (64 KiB to 128 KiB), and a frame's header (at most `MAX_HEADER`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from shuffle_protocol import wire
from shuffle_protocol.connections import ConnectionGate
from shuffle_protocol.errors import JobError
from shuffle_protocol.frames import (
    MAX_HEADER,
    MAX_PAYLOAD,
    PREFIX_SIZE,
    FrameError,
    FrameHeader,
    decode_header,
    decode_prefix,
)
from shuffle_protocol.tls import Tls
from shuffle_worker.transfer.http import HttpSettings
from shuffle_worker.transfer.transport import FrameHandler, Interrupted

log = logging.getLogger(__name__)


class PeerServer:
    """Listens for peers' frames of one job and passes them to a handler. Use it in one event loop: `start`, `stop`.

    Every request gets an ack or an error that says what is wrong. A caller without the token learns nothing.
    unauthorized, malformed: how many requests were refused for that.
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
        """Returns the address for peers, with the port that the system chose where `port` is 0."""
        app = web.Application()
        app.router.add_post(wire.SHARDS, self._shards)
        app.router.add_get(wire.HEALTH, self._health)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._gate = ConnectionGate(runner)
        return await self._gate.open(self._host, self._port, self._ssl, keepalive=300.0)

    async def stop(self) -> None:
        """Breaks off frames that are still coming in after a second."""
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
    """A request's body of `size` bytes: collects the header, passes the rest on as it comes.

    One timer watches the whole body, because a timeout around each of the many small reads would cost a fifth of the
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


def _refusal(status: int, message: str, reason: str = "") -> web.Response:
    return web.Response(
        status=status, body=wire.encode(wire.ErrorBody(message, reason)), content_type="application/json"
    )

"""A worker's server: receives its peers' frames, each payload from the socket to where its receiver wants it.

Frames come over connections of its own (`frame_connection.py`); aiohttp answers whatever else is asked.

Memory: `socket_reader.AHEAD` bytes a connection, and a frame's header (at most `MAX_HEADER`) as it comes.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from aiohttp import hdrs, web

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
from shuffle_worker.transfer.frame_connection import FrameBody, FrameCall, FrameConnection, Reply
from shuffle_worker.transfer.http import HttpSettings
from shuffle_worker.transfer.transport import FrameHandler, Interrupted

log = logging.getLogger(__name__)

KEEPALIVE = 300.0
"""Seconds for which a connection that is not used stays."""

GRACE = 1.0
"""Seconds for frames that are still coming in when the server stops."""


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
        self._connections: set[FrameConnection] = set()

    async def start(self) -> str:
        """Returns the address for peers, with the port that the system chose where `port` is 0."""
        app = web.Application()
        app.router.add_post(wire.SHARDS, self._odd)
        app.router.add_get(wire.HEALTH, self._health)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=GRACE)
        await runner.setup()
        gate = self._gate = ConnectionGate(runner)

        def connection() -> FrameConnection:
            return FrameConnection(self._shards, self._connections, gate, self._settings.stall, KEEPALIVE)

        return await gate.open(self._host, self._port, self._ssl, protocol=connection)

    async def stop(self) -> None:
        """Breaks off frames that are still coming in after `GRACE` seconds."""
        if self._gate is not None:
            await asyncio.gather(self._gate.close(), *(each.stop(GRACE) for each in list(self._connections)))

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _odd(self, request: web.Request) -> web.Response:
        """A call for frames that `frame_connection.parsed` does not take."""
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        reply = self._stranger(authorization, request.match_info["job"])
        if reply is None:
            reply = self._bad("a frame needs a Content-Length, and a call in the plainest HTTP/1.1")
        return web.Response(status=reply.status, body=reply.body, content_type="application/json")

    def _stranger(self, authorization: str | None, job: str) -> Reply | None:
        """Why a caller is not heard; None if it is."""
        if not wire.authorized(authorization, self._token):
            self.unauthorized += 1
            return _refusal(401, "this call needs the job's token")
        return _refusal(404, "this worker is in another job") if job != self._job else None

    async def _shards(self, connection: FrameConnection, call: FrameCall, body: FrameBody) -> Reply:
        refused = self._stranger(call.authorization, call.job)
        if refused is None or refused.status != 401:
            connection.authenticated()
        if refused is not None:
            return refused
        size = call.length
        if size > MAX_HEADER + MAX_PAYLOAD:
            return self._bad(f"a frame of {size} bytes; {MAX_HEADER + MAX_PAYLOAD} is the most", status=413)
        try:
            ack = await self._handler.receive(await self._header(body, size), body)
            await body.skip()
        except FrameError as error:
            return self._bad(str(error))
        except JobError as error:
            with suppress(Interrupted):
                await body.skip()
            return _refusal(wire.GAVE_UP, error.message, error.reason)
        except Interrupted:
            return _refusal(400, "the body broke off")  # nobody is listening, most likely
        return Reply(200, wire.encode(wire.Answer(ack)))

    async def _header(self, body: FrameBody, size: int) -> FrameHeader:
        if size < PREFIX_SIZE:
            raise FrameError(f"{size} bytes where a frame begins with {PREFIX_SIZE}")
        data = await body.take(PREFIX_SIZE)
        prefix = decode_prefix(data)
        if prefix.header + prefix.payload != size:
            raise FrameError(f"a frame of {prefix.header + prefix.payload} bytes in a body of {size}")
        data += await body.take(prefix.header - PREFIX_SIZE)
        header = decode_header(data)
        if header.job != self._job:
            raise FrameError(f"a frame of job {header.job!r} sent to job {self._job!r}")
        return header

    def _bad(self, message: str, status: int = 400) -> Reply:
        self.malformed += 1
        log.warning("a frame was refused: %s", message)
        return _refusal(status, message)


def _refusal(status: int, message: str, reason: str = "") -> Reply:
    return Reply(status, wire.encode(wire.ErrorBody(message, reason)))

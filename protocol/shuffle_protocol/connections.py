"""A gate for a server's connections: a caller has to authenticate soon, or its connection is closed.

aiohttp waits for a request's headers for as long as they take and has no limit on connections, so anybody who reaches
the port could hold as many as the process has file handles by sending nothing (CWE-770). Here a connection is
unauthenticated until one call over it has carried the token. It may be so for a minute, and where there are too many of
that kind the oldest go first, because callers with a token show it at once.

Memory: an entry for each unauthenticated connection, `most` at the most; asyncio's own time limit ends TLS handshakes.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

WITHIN = 60.0
"""Seconds. Thousands of workers that begin at once are heard one after another. A caller without a token (a probe, a
scrape) should ask to close the connection, or it may be closed in the midst of the next call."""

MOST = 8192
"""More than a listening socket's backlog, of which all may be taken in before one is heard."""


EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - a caller needs a token
NO_SUCH_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""What binding an address of a family that a machine does not have ends with."""


class Gated(Protocol):
    """A connection, as the gate sees it."""

    @property
    def transport(self) -> asyncio.Transport | None: ...


class ConnectionGate:
    """Takes in connections for the application of a runner that has been set up. Used in one event loop."""

    def __init__(self, runner: web.AppRunner, within: float = WITHIN, most: int = MOST) -> None:
        self.turned_away = 0
        self._runner = runner
        self._within = within
        self._most = most
        self._unauthenticated: dict[Gated, float] = {}  # since when, the oldest first
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    async def open(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None = None,
        *,
        backlog: int = 128,
        keepalive: float = 75.0,
        protocol: Callable[[], asyncio.BaseProtocol] | None = None,
    ) -> str:
        """Returns the address that is bound, `host:port`. To be called for each that there is. host: "" for all, of
        IPv4 and of IPv6. keepalive: seconds for which a connection that is not used stays. protocol: makes each
        connection's; by default `http` does. Another one tells the gate when it `came` and `left`."""
        loop = asyncio.get_running_loop()

        def taken_in() -> asyncio.BaseProtocol:
            return protocol() if protocol is not None else self.http(keepalive)

        bound: tuple[str, int] | None = None
        for at in [host] if host else EVERYWHERE:
            try:
                opened = await loop.create_server(taken_in, at, port, ssl=context, backlog=backlog)
            except OSError as error:
                if host or error.errno not in NO_SUCH_FAMILY:
                    raise
                continue
            self._servers.append(opened)  # at once, so that `close` finds it if the other family fails
            bound = bound or opened.sockets[0].getsockname()[:2]
            port = bound[1]
        if bound is None:
            raise OSError(errno.EADDRNOTAVAIL, "this machine has neither IPv4 nor IPv6")
        if self._timer is None:
            self._look()
        bound_host, bound_port = bound
        return f"[{bound_host}]:{bound_port}" if ":" in bound_host else f"{bound_host}:{bound_port}"

    def http(self, keepalive: float = 75.0) -> asyncio.Protocol:
        """What answers one connection's calls for the application."""
        server = self._runner.server
        assert server is not None
        return _Connection(self, server, asyncio.get_running_loop(), keepalive)

    def known(self, request: web.Request) -> None:
        """This call carried the token."""
        self._unauthenticated.pop(request.protocol, None)

    async def close(self) -> None:
        """Accept no more connections, and close all."""
        if self._timer is not None:
            self._timer.cancel()
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    def came(self, connection: Gated) -> None:
        self._unauthenticated[connection] = asyncio.get_running_loop().time()
        if len(self._unauthenticated) > self._most:
            self._turn_away(next(iter(self._unauthenticated)))

    def left(self, connection: Gated) -> None:
        """It is gone, or has shown the token."""
        self._unauthenticated.pop(connection, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._within / 4, self._look)
        for connection, since in list(self._unauthenticated.items()):
            if loop.time() - since < self._within:
                break
            self._turn_away(connection)

    def _turn_away(self, connection: Gated) -> None:
        del self._unauthenticated[connection]
        self.turned_away += 1
        if connection.transport is not None:
            connection.transport.abort()


class _Connection(web.RequestHandler):
    """aiohttp's protocol, which notifies the gate when it is made and when it is gone."""

    __slots__ = ("_gate",)

    def __init__(
        self, gate: ConnectionGate, server: web.Server, loop: asyncio.AbstractEventLoop, keepalive: float
    ) -> None:
        # None turns the log off, and is what web.AppRunner passes on: only the annotation says otherwise
        super().__init__(server, loop=loop, keepalive_timeout=keepalive, access_log=None)  # type: ignore[arg-type]
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._gate.came(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._gate.left(self)
        super().connection_lost(exc)

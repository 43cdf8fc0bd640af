"""Control messages to the coordinator, by aiohttp. With a `Tls` it uses TLS, and never falls back.

register    sync    report
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp import hdrs
from msgspec import Struct

from shuffle_protocol import wire
from shuffle_protocol.messages import MAX_CONTROL_BODY, MAX_REPORT, Orders, Register, Registered, Sync
from shuffle_protocol.tls import Tls
from shuffle_worker.transfer.transport import Over, Refused, Unreachable

T = TypeVar("T")

REFUSALS = frozenset({400, 401, 403, 409, 413, 426})
"""A coordinator's final answers: trying again does not change them."""
OVER = 410
"""A coordinator's answer after the job has finished."""


class HttpSettings(Struct, frozen=True):
    """Timeouts and connections of the transports."""

    connect: float = 5.0
    """Seconds to make a connection."""
    stall: float = 60.0
    """Seconds without progress (the peer takes a piece, sends one, or answers) after which a sender gives up. Longer
    than a receiver may wait for its disk."""
    control: float = 10.0
    """Seconds for a control message and its answer, beyond the wait it asks for."""
    again: float = 3.0
    """Seconds after which an unanswered control message is repeated over another connection."""
    connections: int = 2
    """Connections to one peer at once. Further frames wait until one is free."""


CONTROL_CALLS = 3
"""Control messages on their way at once: one, and those that repeat it."""


class HttpControl:
    """Implements `transport.ControlTransport`. url: the coordinator's, `http://host:port`; `https://` with TLS.

    A lost packet must not make a worker look silent. On a link that is full of shards TCP may wait seconds for one, and
    so may a lookup of the address. So control messages have connections of their own, a message without an answer is
    repeated over another connection, and an address that worked is not looked up again."""

    def __init__(
        self, url: str, token: str, job: str, settings: HttpSettings | None = None, tls: Tls | None = None
    ) -> None:
        if url.startswith("https://") != (tls is not None):  # neither plain text by mistake, nor somebody else's trust
            raise ValueError(f"{url} and {'no ' if tls is None else ''}certificates do not go together")
        self._ssl = True if tls is None else tls.client
        self._name = None if tls is None else tls.coordinator
        self._register = url.rstrip("/") + wire.REGISTER.format(job=job)
        self._sync = url.rstrip("/") + wire.SYNC.format(job=job)
        self._report = url.rstrip("/") + wire.REPORT.format(job=job)
        self._token = token
        self._settings = settings or HttpSettings()
        self._session: aiohttp.ClientSession | None = None
        self._connector: aiohttp.TCPConnector | None = None

    async def register(self, message: Register) -> Registered:
        return await self._call(self._register, message, Registered, 0.0)

    async def sync(self, message: Sync) -> Orders:
        return await self._call(self._sync, message, Orders, message.wait)

    async def report(self) -> bytes:
        """The job's report, as the coordinator has it now; at most `MAX_REPORT` bytes. Raises Unreachable."""
        url, limit = self._report, aiohttp.ClientTimeout(total=60.0, sock_connect=self._settings.connect)
        try:
            async with self._opened().get(
                url, timeout=limit, allow_redirects=False, ssl=self._ssl, server_hostname=self._name
            ) as response:
                if response.status != 200:
                    raise Unreachable(f"the coordinator at {url} answered {response.status}")
                body = await _beginning(response, MAX_REPORT + 1)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._lost(url, error) from None
        if len(body) > MAX_REPORT:
            raise Unreachable(f"the report at {url} has more than {MAX_REPORT} bytes")
        return bytes(body)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._connector = aiohttp.TCPConnector(limit=CONTROL_CALLS + 1, ttl_dns_cache=None, keepalive_timeout=60)
            self._session = _session(self._connector, self._token, self._settings)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(self, url: str, message: Struct, kind: type[T], wait: float) -> T:
        """Both calls are idempotent, so the first answer counts."""
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
        """Tries once more, at once, if the connection turns out to be closed."""
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
        timeout = aiohttp.ClientTimeout(total=wait + self._settings.control, sock_connect=self._settings.connect)
        headers = {hdrs.CONTENT_TYPE: "application/json"}
        async with self._opened().post(
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


async def _beginning(response: aiohttp.ClientResponse, limit: int) -> bytearray:
    """The first `limit` bytes of a body."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece[: limit - len(body)]
        if len(body) >= limit:
            break
    return body

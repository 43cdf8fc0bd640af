"""Strangers' connections are closed in time, and there are not too many of them; whoever has shown the token stays."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import hdrs, web

from shuffle_protocol import wire
from shuffle_protocol.connections import ConnectionGate

TOKEN = "the-token"
SOON = 60.0
"""Seconds that a test waits for what must happen."""
KNOWN_BY = 1.0
"""Seconds within which a caller is answered, where the test waits for their end too: a call takes a millisecond."""


@contextlib.asynccontextmanager
async def gate(within: float, most: int) -> AsyncIterator[tuple[ConnectionGate, int]]:
    """With one call, which needs the token. Yields its port."""
    gates: list[ConnectionGate] = []

    async def call(request: web.Request) -> web.Response:
        if not wire.authorized(request.headers.get(hdrs.AUTHORIZATION), TOKEN):
            return web.Response(status=401)
        gates[0].known(request)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", call)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    gates.append(ConnectionGate(runner, within, most))
    address = await gates[0].open("127.0.0.1", 0)
    try:
        yield gates[0], int(address.rpartition(":")[2])
    finally:
        await gates[0].close()


class Caller:
    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.reader, self.writer = streams

    async def call(self, token: str) -> int:
        self.writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {wire.bearer(token)}\r\n\r\n".encode())
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SOON)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await self.reader.readexactly(length)
        return int(head.split()[1])

    async def is_hung_up_on(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(), SOON) == b""
        except ConnectionError:
            return True


async def caller(port: int) -> Caller:
    return Caller(await asyncio.open_connection("127.0.0.1", port))


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["nothing", "half a header"])
async def test_who_does_not_say_who_it_is_is_hung_up_on(said: bytes) -> None:
    async with gate(within=0.4, most=10) as (at, port):
        unknown = await caller(port)
        unknown.writer.write(said)
        assert await unknown.is_hung_up_on()
        assert at.turned_away == 1


async def test_a_wrong_token_makes_nobody_known() -> None:
    async with gate(within=KNOWN_BY, most=10) as (_, port):
        unknown = await caller(port)
        assert await unknown.call("another") == 401
        assert await unknown.is_hung_up_on()


async def test_who_has_shown_the_token_stays() -> None:
    async with gate(within=KNOWN_BY, most=10) as (at, port):
        known, unknown = await caller(port), await caller(port)
        assert await known.call(TOKEN) == 200
        assert await unknown.is_hung_up_on()  # so that much time has passed
        assert await known.call("another") == 401
        assert await known.call(TOKEN) == 200
        assert at.turned_away == 1


async def test_where_there_are_too_many_strangers_the_oldest_goes() -> None:
    async with gate(within=600.0, most=2) as (at, port):
        known = await caller(port)
        assert await known.call(TOKEN) == 200
        first, second = await caller(port), await caller(port)
        assert await first.call("another") == await second.call("another") == 401
        third = await caller(port)
        assert await third.call("another") == 401
        assert await first.is_hung_up_on()
        assert await second.call("another") == 401
        assert await known.call(TOKEN) == 200
        assert at.turned_away == 1


async def test_who_leaves_makes_room() -> None:
    """Three: when one is answered the last one's leaving may not have been seen."""
    async with gate(within=600.0, most=3) as (at, port):
        waiting = await caller(port)
        for _ in range(5):
            passing = await caller(port)
            assert await passing.call("another") == 401
            passing.writer.close()
            await passing.writer.wait_closed()
        assert await waiting.call(TOKEN) == 200
        assert at.turned_away == 0


async def test_all_addresses_have_one_port_and_one_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both families; where the second is not available, the first is closed with the gate."""
    runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
    await runner.setup()
    both = ConnectionGate(runner, 10, 10)
    address = await both.open("", 0)
    port = int(address.rpartition(":")[2])
    assert {each.sockets[0].getsockname()[1] for each in both._servers} == {port}
    await both.close()

    loop = asyncio.get_running_loop()
    create = loop.create_server

    async def create_one(*arguments: Any, **options: Any) -> asyncio.Server:
        if arguments[1] == "::":
            raise OSError(errno.EADDRINUSE, "in use")
        return await create(*arguments, **options)

    runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
    await runner.setup()
    half = ConnectionGate(runner, 10, 10)
    monkeypatch.setattr(loop, "create_server", create_one)
    with pytest.raises(OSError, match="in use"):
        await half.open("", 0)
    (server,) = half._servers
    await half.close()
    assert not server.is_serving()

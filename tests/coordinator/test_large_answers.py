"""Views too large for one write: they arrive whole, and who does not take its own keeps nobody waiting for long."""

from __future__ import annotations

import asyncio
import zlib

import aiohttp
import msgspec
import pytest
from aiohttp import hdrs

from shuffle_operator.coordinator.events import Started
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.server import http as module
from shuffle_operator.server.http import CoordinatorServer
from shuffle_protocol import wire
from shuffle_protocol.messages import Counters, Done, LeaseKind, Orders, OwnedRun, Sync
from shuffle_worker.transfer.http import HttpControl, HttpSettings
from tests.coordinator.builders import Play, job, summary

GROUPS = 20_000
MORE_THAN_SOCKETS_HOLD = 900_000
TOKEN = "the-token"


def hosting(groups: int = GROUPS) -> tuple[CoordinatorServer, Sync]:
    """A job whose groups have owners in turn, so that a view is a run for each; and what worker 0 says to get it."""
    play = Play(Coordinator(job()))
    play.did(play.machine.handle(Started(), 0.0))
    one, two = play.worker(0), play.worker(1)
    one.register()
    two.register()
    one.sync()
    (lease,) = [lease for lease in one.leases if lease.id.kind is LeaseKind.PLAN]
    one.sync(done=[Done(lease.id, plan=summary(groups=groups))])
    play.later(1.0)
    ledger = play.machine.state.ledger
    assert ledger is not None
    for group in range(groups):
        ledger.facts.owner[group] = group % 2
    play.machine.state.epochs.changed()
    server = CoordinatorServer(clock=lambda: play.now)
    server.host(play.machine, TOKEN, lambda _: None)
    return server, Sync(0, one.incarnation, -1, [], [], [], Counters(), free=0)


async def test_a_large_view_arrives_whole() -> None:
    server, message = hosting()
    control = HttpControl(await server.start("127.0.0.1"), TOKEN, job().uid)
    try:
        orders, *others = await asyncio.gather(*(control.sync(message) for _ in range(4)))
    finally:
        await control.close()
        await server.stop()
    assert len(msgspec.json.encode(orders)) > 3 * module.PIECE
    assert orders.view is not None
    assert orders.view.runs == [OwnedRun(group, 1, group % 2, 0) for group in range(GROUPS)]
    assert all(other.view == orders.view for other in others)


async def test_a_large_view_is_deflated_for_who_takes_that() -> None:
    server, message = hosting()
    url = await server.start("127.0.0.1") + wire.SYNC.format(job=job().uid)
    sent: dict[str, bytes] = {}
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            for takes in ("deflate", "identity"):
                headers = {hdrs.AUTHORIZATION: wire.bearer(TOKEN), hdrs.ACCEPT_ENCODING: takes}
                async with session.post(url, data=wire.encode(message), headers=headers) as response:
                    assert response.headers.get(hdrs.CONTENT_ENCODING, "identity") == takes
                    sent[takes] = await response.read()
    finally:
        await server.stop()
    orders = wire.decode(zlib.decompress(sent["deflate"], -zlib.MAX_WBITS), Orders)
    assert orders == wire.decode(sent["identity"], Orders)
    assert len(sent["deflate"]) < len(sent["identity"]) / 2


async def test_who_does_not_take_its_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 2.0)
    monkeypatch.setattr(module, "ANSWERS_AT_ONCE", 1)
    server, message = hosting(MORE_THAN_SOCKETS_HOLD)
    address = await server.start("127.0.0.1")
    host, _, port = address.removeprefix("http://").rpartition(":")
    patient = HttpSettings(connect=30.0, control=60.0)  # encoding so much holds the server up
    control = HttpControl(address, TOKEN, job().uid, patient)
    try:
        _, writer = await asyncio.open_connection(host, int(port), limit=1)
        body = wire.encode(message)
        head = f"POST {wire.SYNC.format(job=job().uid)} HTTP/1.1\r\nHost: x\r\n{hdrs.AUTHORIZATION}: Bearer {TOKEN}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        orders = await asyncio.wait_for(control.sync(message), 20.0)
        assert orders.view is not None
        writer.close()
    finally:
        await control.close()
        await server.stop()

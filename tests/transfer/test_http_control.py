"""Register and sync over HTTP: what arrives, and what a worker makes of every kind of answer and of none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from shuffle_protocol import wire
from shuffle_protocol.messages import (
    VERSION,
    Counters,
    Lease,
    LeaseId,
    LeaseKind,
    Member,
    Orders,
    OwnedRun,
    Phase,
    Register,
    Registered,
    Sync,
    View,
)
from shuffle_worker.transfer import http
from shuffle_worker.transfer.http import HttpControl, HttpSettings
from shuffle_worker.transfer.transport import Refused, Unreachable

JOB, TOKEN = "the-job", "the-token"
QUICK = HttpSettings(connect=5.0, control=1.0)
"""Control: waited for in full where nobody answers; an answer takes a millisecond."""
PATIENT = HttpSettings(connect=5.0, control=10.0)
REGISTER = Register(version=VERSION, worker=3, incarnation="abc", address="127.0.0.1:1", slots=1, memory=1 << 30)
SYNC = Sync(worker=3, incarnation="abc", epoch=-1, holding=[], done=[], failed=[], counters=Counters(), free=1)
ORDERS = Orders(
    known=True,
    phase=Phase.TRANSFERRING,
    epoch=2,
    view=View(
        plan="f", epoch=2, groups=2, members=[Member(0, "a", "h:1")], runs=[OwnedRun(0, 1, 0, 0), OwnedRun(1, 1, -1, 1)]
    ),
    leases=[Lease(LeaseId(LeaseKind.TRANSFER, 0, 7, 1))],
)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Coordinator:
    """Answers each call by `answer`, and remembers what came."""

    def __init__(self) -> None:
        self.answer: Answer = self.proper
        self.came: list[Register | Sync] = []
        self.url = ""
        self.calls = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        return await self.answer(request)

    async def proper(self, request: web.Request) -> web.StreamResponse:
        if not wire.authorized(request.headers.get("Authorization"), TOKEN):
            return web.Response(status=401, body=wire.encode(wire.ErrorBody("wrong token")))
        body = await wire.collect(request.content.iter_any())
        if request.path == wire.REGISTER.format(job=JOB):
            self.came.append(wire.decode(body, Register))
            return web.Response(body=wire.encode(Registered(accepted=True)))
        assert request.path == wire.SYNC.format(job=JOB)
        message = wire.decode(body, Sync)
        self.came.append(message)
        await asyncio.sleep(message.wait)
        return web.Response(body=wire.encode(ORDERS))

    def always(self, status: int, body: bytes) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=body)

        self.answer = answer


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    made = Coordinator()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def control(coordinator: Coordinator) -> AsyncIterator[HttpControl]:
    made = HttpControl(coordinator.url + "/", TOKEN, JOB, PATIENT)
    yield made
    await made.close()


@pytest.fixture
async def impatient(coordinator: Coordinator) -> AsyncIterator[HttpControl]:
    made = HttpControl(coordinator.url, TOKEN, JOB, QUICK)
    yield made
    await made.close()


async def test_messages_arrive_and_so_do_the_answers(coordinator: Coordinator, control: HttpControl) -> None:
    assert await control.register(REGISTER) == Registered(accepted=True)
    assert await control.sync(SYNC) == ORDERS
    assert coordinator.came == [REGISTER, SYNC]


async def test_an_answer_may_take_as_long_as_was_asked_for(impatient: HttpControl) -> None:
    waiting = Sync(
        **{name: getattr(SYNC, name) for name in SYNC.__struct_fields__ if name != "wait"}, wait=QUICK.control * 1.1
    )
    assert await impatient.sync(waiting) == ORDERS


@pytest.mark.parametrize("status", [400, 401, 403, 409, 410, 413, 426])
async def test_a_refusal_is_final_and_says_why(coordinator: Coordinator, control: HttpControl, status: int) -> None:
    coordinator.always(status, b'{"error":"a worker of version 2; set the image to x"}')
    with pytest.raises(Refused) as caught:
        await control.register(REGISTER)
    assert str(caught.value) == "a worker of version 2; set the image to x"
    coordinator.always(status, b"in plain words")
    with pytest.raises(Refused, match="in plain words"):
        await control.sync(SYNC)
    coordinator.always(status, b"")
    with pytest.raises(Refused):
        await control.sync(SYNC)


async def test_the_wrong_token_is_refused(coordinator: Coordinator) -> None:
    control = HttpControl(coordinator.url, "another", JOB, HttpSettings())
    with pytest.raises(Refused, match="wrong token"):
        await control.sync(SYNC)
    await control.close()


@pytest.mark.parametrize("status", [404, 408, 429, 500, 502, 503, 504, 302])
async def test_what_may_pass_is_unreachable(coordinator: Coordinator, control: HttpControl, status: int) -> None:
    coordinator.always(status, b"<html>bad gateway</html>")
    with pytest.raises(Unreachable, match=f"answered {status}"):
        await control.sync(SYNC)
    coordinator.answer = coordinator.proper
    assert await control.sync(SYNC) == ORDERS


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b"[1]", b"\xff\xfe", b'{"known":"yes"}', b"[" * 100_000, wire.encode(Registered(True))],
    ids=["empty", "object", "null", "list", "bytes", "type", "deep", "another"],
)
async def test_an_answer_that_is_none(coordinator: Coordinator, control: HttpControl, body: bytes) -> None:
    coordinator.always(200, body)
    with pytest.raises(Unreachable, match="no Orders"):
        await control.sync(SYNC)


async def test_an_answer_without_end(coordinator: Coordinator, impatient: HttpControl) -> None:
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 20))
            sent += 1

    coordinator.answer = answer
    with pytest.raises(Unreachable):
        await impatient.sync(SYNC)
    assert sent < 200


async def test_a_message_that_is_too_large_is_not_sent(
    coordinator: Coordinator, control: HttpControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_CONTROL_BODY", 100)
    with pytest.raises(Refused, match="100 is the most"):
        await control.sync(SYNC)
    assert coordinator.calls == 0


async def test_a_coordinator_that_says_nothing(coordinator: Coordinator, impatient: HttpControl) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    coordinator.answer = answer
    with pytest.raises(Unreachable):
        await impatient.sync(SYNC)


async def test_a_connection_that_was_dropped_is_made_again_at_once(
    coordinator: Coordinator, control: HttpControl
) -> None:
    """As after a restart of the coordinator: what is kept open is gone, and nobody said so."""

    async def answer(request: web.Request) -> web.StreamResponse:
        coordinator.answer = coordinator.proper
        assert request.transport
        request.transport.abort()
        return web.Response()

    coordinator.answer = answer
    assert await control.sync(SYNC) == ORDERS
    assert coordinator.calls == 2


async def test_a_message_whose_answer_is_stuck_is_sent_again_over_another_connection(coordinator: Coordinator) -> None:
    released = asyncio.Event()
    peers: set[object] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        if coordinator.calls < 3:
            await released.wait()
        return await coordinator.proper(request)

    coordinator.answer = answer
    control = HttpControl(coordinator.url, TOKEN, JOB, HttpSettings(again=0.05))
    try:
        assert await control.sync(SYNC) == ORDERS
        assert coordinator.calls == len(peers) == 3
    finally:
        released.set()
        await control.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://", "nonsense", "http://127.0.0.1:x"])
async def test_nobody_there(url: str) -> None:
    control = HttpControl(url, TOKEN, JOB, QUICK)
    with pytest.raises(Unreachable):
        await control.register(REGISTER)
    await control.close()


def test_tokens_are_compared_whole() -> None:
    assert wire.authorized("Bearer secret", "secret")
    for header in (None, "", "secret", "Bearer", "Bearer secre", "Bearer secret ", "bearer secret", "Basic secret"):
        assert not wire.authorized(header, "secret")
    assert not wire.authorized("Bearer \udcff", "secret"), "whatever bytes a header had"


async def test_a_body_is_collected_up_to_its_limit() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 10

    assert await wire.collect(pieces(), 100) == b"x" * 100
    with pytest.raises(wire.WireError, match="more than 99"):
        await wire.collect(pieces(), 99)

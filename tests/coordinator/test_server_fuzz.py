"""The coordinator's calls with anything in them: from those who have no token, and from workers of the job whose
messages are of the right form and nonsense. An error each, or an answer; never a defect, and the job goes on."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shuffle_operator.coordinator.events import Started
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.status import snapshot
from shuffle_operator.server import http as module
from shuffle_operator.server.http import CoordinatorServer
from shuffle_protocol.messages import (
    MAX_CONTROL_BODY,
    VERSION,
    Counters,
    Done,
    Failure,
    Held,
    LeaseId,
    LeaseKind,
    Member,
    OwnedRun,
    PlanSummary,
    Register,
    Sync,
    Transferred,
    View,
    WrittenGroup,
)
from tests.coordinator.builders import job

TOKEN = "the-token"
UID = job().uid
HELLO = Register(VERSION, 0, "owner", "127.0.0.1:1", 1, 1 << 30)
CALLS = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


class Caller:
    def __init__(self, address: str, uid: str = UID, token: str = TOKEN) -> None:
        self._uid, self._token = uid, token
        host, _, port = address.removeprefix("http://").rpartition(":")
        self._host, self._port = host, int(port)

    async def raw(self, data: bytes, *, end: bool = True) -> bytes:
        """What comes back; b"" where the connection is closed without a word. end: say that nothing more comes."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(data)
            if end:
                writer.write_eof()
            return await asyncio.wait_for(reader.read(1 << 20), 20)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def post(self, call: str, body: bytes, length: int | None = None) -> int:
        head = f"POST /v1/jobs/{self._uid}/{call} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n"
        head += f"Content-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n"
        return status(await self.raw(head.encode() + body, end=False))

    async def works(self) -> None:
        assert await self.post("register", msgspec.json.encode(HELLO)) == 200


def status(answer: bytes) -> int:
    """0 for none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


@asynccontextmanager
async def calling() -> AsyncIterator[Caller]:
    server = CoordinatorServer()
    address = await server.start("127.0.0.1")
    machine = Coordinator(job())
    hosted = server.host(machine, TOKEN, lambda _: None)
    hosted.perform(machine.handle(Started(), 0.0))
    caller = Caller(address)
    await caller.works()
    try:
        yield caller
        await caller.works()
    finally:
        await server.stop()


PIECES = st.sampled_from(
    [
        b"POST ", b"GET ", b"/v1/jobs/", UID.encode(), b"/sync", b"/register", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b":",
        b"Host: x", b"Content-Length: ", b"Transfer-Encoding: chunked", b"Authorization: Bearer the-token", b"-1", b"0",
        b"9" * 40, b"Expect: 100-continue", b"Upgrade: websocket", b"Connection: close", b"\x00", b"\xff\xfe", b"{}",
        b"Content-Encoding: gzip", b"%2e%2e/", b"../", b"?" + b"q" * 9000, b"X: " + b"y" * 9000,
    ]
)  # fmt: skip


@CALLS
@given(st.lists(st.one_of(PIECES, st.binary(max_size=40)), max_size=14))
def test_what_is_hardly_http(pieces: list[bytes]) -> None:
    async def run() -> None:
        async with calling() as caller:
            said = status(await caller.raw(b"".join(pieces)))
            assert said < 500 or said == 505, said

    asyncio.run(run())


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=5),
        st.sampled_from([0, 1, 2, 40, "owner", *[k.value for k in LeaseKind]]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=6,
)  # fmt: skip
NUMBERS = st.one_of(st.integers(-2, 5), st.integers(-(2**63), 2**63 - 1))
LIKE = Sync(0, "owner", -1, [], [], [], Counters(), free=1)
LEASES = st.builds(LeaseId, kind=st.sampled_from(LeaseKind), tranche=NUMBERS, item=NUMBERS, attempt=NUMBERS)
PLANS = st.builds(
    PlanSummary,
    st.text(max_size=3),
    st.lists(NUMBERS, max_size=3),
    st.lists(NUMBERS, max_size=3),
    *[NUMBERS] * 6,
    split_wave=st.lists(NUMBERS, max_size=3),
    group_wave=st.lists(NUMBERS, max_size=3),
)
VIEWS = st.builds(
    View,
    plan=st.text(max_size=3),
    epoch=NUMBERS,
    members=st.lists(st.builds(Member, NUMBERS, st.text(max_size=3), st.text(max_size=9)), max_size=2),
    groups=NUMBERS,
    runs=st.lists(st.builds(OwnedRun, NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=3),
)
WRITTEN = st.lists(st.builds(WrittenGroup, NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=3)
HELDS = st.builds(
    Held,
    epoch=NUMBERS,
    plan=st.text(max_size=3),
    transferred=st.lists(st.builds(Transferred, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=3),
    written=WRITTEN,
    view=st.none() | VIEWS,
    summary=st.none() | PLANS,
    kept=st.lists(NUMBERS, max_size=3),
)
DONES = st.builds(
    Done,
    id=LEASES,
    rows_read=NUMBERS,
    rows_moved=NUMBERS,
    tally=NUMBERS,
    covers=NUMBERS,
    plan=st.none() | PLANS,
    written=WRITTEN,
)
FAILURES = st.builds(
    Failure,
    id=LEASES,
    reason=st.sampled_from(["DataError", "nonsense", ""]),
    message=st.text(max_size=9),
    retry=st.just(True),
    absent=st.booleans(),
    corrupt=NUMBERS,
)
SYNCS = st.builds(
    Sync,
    worker=st.sampled_from([0, 0, 0, 1, -1, 2**62]),
    incarnation=st.sampled_from(["owner", "owner", "other"]),
    epoch=NUMBERS,
    holding=st.lists(LEASES, max_size=3),
    done=st.lists(DONES, max_size=2),
    failed=st.lists(FAILURES, max_size=2),
    counters=st.builds(Counters, kept=NUMBERS, steps=NUMBERS),
    free=NUMBERS,
    wait=st.just(0.0),
    leaving=st.booleans(),
    written=NUMBERS,
    full=st.sampled_from(["", "", "full"]),
)
HELLOS = st.builds(
    Register,
    version=st.sampled_from([VERSION, VERSION, 0, 2**40]),
    worker=st.sampled_from([0, 1, 1, -1, 2**62]),
    incarnation=st.sampled_from(["owner", "other", "third"]),
    address=st.text(max_size=9),
    slots=NUMBERS,
    memory=NUMBERS,
    held=st.none() | HELDS,
)


@CALLS
@given(st.lists(st.one_of(SYNCS, HELLOS), min_size=1, max_size=6))
def test_messages_of_the_right_form_that_make_no_sense(messages: list[Sync | Register]) -> None:
    """A worker that lies can spoil its own job, by what it says that it has done. It must not touch another one."""

    async def run() -> None:
        server = CoordinatorServer()
        address = await server.start("127.0.0.1")
        machines = [Coordinator(msgspec.structs.replace(job(), uid=uid)) for uid in ("liar", UID)]
        for machine, token in zip(machines, ("liars-token", TOKEN), strict=True):
            server.host(machine, token, lambda _: None).perform(machine.handle(Started(), 0.0))
        liar, other = Caller(address, "liar", "liars-token"), Caller(address)
        try:
            await other.works()
            before = snapshot(machines[1].state, 1.0)
            for message in messages:
                call = "sync" if isinstance(message, Sync) else "register"
                assert await liar.post(call, msgspec.json.encode(message)) in (200, 400), message
            assert snapshot(machines[1].state, 1.0) == before
            await other.works()
        finally:
            await server.stop()

    asyncio.run(run())


FIELDS = sorted({*Sync.__struct_fields__, *Register.__struct_fields__})


@CALLS
@given(st.sampled_from(["sync", "register"]), st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_bodies_with_anything_in_them(call: str, changes: dict[str, Any]) -> None:
    async def run() -> None:
        async with calling() as caller:
            base = msgspec.to_builtins(LIKE if call == "sync" else HELLO)
            said = await caller.post(call, json.dumps({**base, **changes, "wait": 0.0}).encode())
            assert said in (200, 400)

    asyncio.run(run())


@pytest.mark.parametrize("call", ["sync", "register"])
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"worker":1e400}', b'{"a":' * 50_000, b"\x00" * 9]
)  # fmt: skip
async def test_bodies_that_are_no_message(call: str, body: bytes) -> None:
    async with calling() as caller:
        assert await caller.post(call, body) == 400


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read() -> None:
    async with calling() as caller:
        gc.collect()
        tracemalloc.start()
        try:
            said = await asyncio.gather(*(caller.post("sync", b" " * 60_000, MAX_CONTROL_BODY + 1) for _ in range(30)))
            assert set(said) == {413}
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones among them, which others wait for."""
    monkeypatch.setattr(module, "BODY_WITHIN", 0.3)
    async with calling() as caller:

        async def stall(length: int) -> int:
            reader, writer = await asyncio.open_connection(caller._host, caller._port)
            head = f"POST /v1/jobs/{UID}/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            writer.write(f"{head}Content-Length: {length}\r\n\r\n{{".encode())
            said = status(await asyncio.wait_for(reader.read(1000), 5))
            writer.close()
            return said

        assert set(await asyncio.gather(*(stall(length) for length in (10, 10, 5 << 20, 6 << 20, 7 << 20)))) == {408}

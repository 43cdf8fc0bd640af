"""A worker of another job, with its token, its certificates and its uid, at every call: it reads, writes, reports and
learns nothing. It is one that does not mean well: it checks no certificate, and claims whatever it likes."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest

from shuffle_operator.coordinator.events import Started
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.server.http import CoordinatorServer, Hosted, Unhosted
from shuffle_operator.tls.authority import Authority
from shuffle_operator.tls.contexts import JobContexts
from shuffle_protocol import wire
from shuffle_protocol.frames import encode
from shuffle_protocol.messages import VERSION, Counters, Register, Sync
from shuffle_protocol.tls import coordinator_name, worker_name
from shuffle_worker.transfer.http_server import PeerServer
from tests.coordinator.builders import job as message
from tests.tls.certificates import SEED, issued
from tests.transfer.test_http_frames import FRAME, QUICK, Handler

MINE, THEIRS, PLAIN = "mine-0000", "theirs-0000", "plain-0000"
TOKENS = {MINE: "token-of-mine", THEIRS: "token-of-theirs", PLAIN: "token-of-plain"}
CALLS = ("register", "sync", "snapshot")
HELLO = Register(VERSION, 1, "thief", "127.0.0.1:9", 1, 1 << 30)
REPORT = Sync(0, "owner", -1, [], [], [], Counters(), free=1)


class Answer(NamedTuple):
    status: int
    body: bytes


class Place:
    """The operator with three jobs: two with TLS, one without. Each of them has a worker 0 called owner."""

    def __init__(self) -> None:
        self.server = CoordinatorServer(unhosted=lambda _: Unhosted.UNKNOWN)
        self.hosted: dict[str, Hosted] = {}
        self.plain = self.secure = ""

    async def open(self) -> None:
        self.plain = await self.server.start("127.0.0.1")
        self.secure = await self.server.start_secure(JobContexts(Authority(SEED).for_coordinator), "127.0.0.1")
        for uid, token in TOKENS.items():
            machine = Coordinator(msgspec.structs.replace(message(), uid=uid))
            hosted = self.server.host(machine, token, lambda _: None, secure=uid != PLAIN)
            hosted.perform(machine.handle(Started(), 0.0))
            machine.register(msgspec.structs.replace(HELLO, worker=0, incarnation="owner"), 0.0)
            self.hosted[uid] = hosted

    def state(self) -> dict[str, Any]:
        return {
            uid: (sorted(h.machine.state.members), h.machine.state.epoch, sorted(h.news))
            for uid, h in self.hosted.items()
        }

    async def call(self, call: str, uid: str, authorization: str | None, name: str | None) -> Answer:
        """name: the server that is asked for with TLS; None: the port without."""
        headers = {} if authorization is None else {"Authorization": authorization}
        base = self.plain if name is None else self.secure
        url = f"{base}/v1/jobs/{uid}" + ("" if call == "snapshot" else f"/{call}")
        data = wire.encode(HELLO if call == "register" else REPORT)
        method = "GET" if call == "snapshot" else "POST"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=data, headers=headers, ssl=careless(), server_hostname=name) as answer,
        ):
            return Answer(answer.status, await answer.read())


def careless() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    await made.open()
    yield made
    await made.server.stop()


@pytest.mark.parametrize("call", CALLS)
async def test_the_right_port_and_name_and_token_do(place: Place, call: str) -> None:
    for uid, token in TOKENS.items():
        name = None if uid == PLAIN else coordinator_name(uid)
        assert (await place.call(call, uid, f"Bearer {token}", name)).status == 200


@pytest.mark.parametrize("call", CALLS)
async def test_no_other_combination_does(place: Place, call: str) -> None:
    """Whatever is wrong, and whether there is such a job: the answer is the same."""
    before = place.state()
    tokens = [None, "", "Bearer ", "Bearer x", *(f"Bearer {token}" for token in TOKENS.values())]
    names = [None, *(coordinator_name(uid) for uid in (*TOKENS, "nobodys"))]
    answers = set()
    for uid, token, name in itertools.product((*TOKENS, "nobodys"), tokens, names):
        right = None if uid == PLAIN else coordinator_name(uid)
        if token == f"Bearer {TOKENS.get(uid)}" and name == right:
            continue
        answers.add(await place.call(call, uid, token, name))
    assert answers == {Answer(401, b"unknown job or wrong token")}
    assert place.state() == before
    assert place.server.refused == 4 * 7 * 5 - 3


@pytest.mark.parametrize("name", ["localhost", worker_name(MINE), f"x.{coordinator_name(MINE)}", "coordinator.a.b", ""])
async def test_other_names_get_no_certificate(place: Place, name: str) -> None:
    with pytest.raises((aiohttp.ClientError, ValueError)):
        await place.call("sync", MINE, f"Bearer {TOKENS[MINE]}", name)
    assert (await place.call("sync", MINE, f"Bearer {TOKENS[MINE]}", coordinator_name(MINE))).status == 200


@pytest.mark.parametrize("token", ["ü", "\udcff", "x" * 7000, "token-of-min", "token-of-minee"])
async def test_tokens_that_are_odd(place: Place, token: str) -> None:
    """Bytes that are no text among them: refused, never a defect."""
    headers = f"GET /v1/jobs/{PLAIN} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    host, _, port = place.plain.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(headers.encode(errors="surrogateescape"))
    assert (await reader.read(100)).startswith(b"HTTP/1.1 401 ")
    writer.close()


@pytest.mark.parametrize("secure", [True, False])
async def test_a_peer_of_another_job(tmp_path: Path, secure: bool) -> None:
    """Frames of either job, to either job's address at my worker, with no token, a wrong one, the other job's."""
    handler = Handler()
    tls = issued(tmp_path, MINE) if secure else None
    server = PeerServer(MINE, TOKENS[MINE], handler, "127.0.0.1", settings=QUICK, tls=tls)
    address = await server.start()
    mine = FRAME._replace(job=MINE)
    frames = (mine, FRAME._replace(job=THEIRS))
    bodies = {each.job: encode(each).header + b"".join(encode(each).buffers) for each in frames}
    tokens = [None, "", f"Bearer {TOKENS[THEIRS]}", f"Bearer {TOKENS[MINE]}x", TOKENS[MINE]]
    answers = set()
    async with aiohttp.ClientSession() as session:

        async def post(uid: str, body: bytes, authorization: str | None) -> Answer:
            url = f"{'https' if secure else 'http'}://{address}{wire.SHARDS.format(job=uid)}"
            headers = {} if authorization is None else {"Authorization": authorization}
            name = worker_name(MINE) if secure else None
            async with session.post(url, data=body, headers=headers, ssl=careless(), server_hostname=name) as answer:
                return Answer(answer.status, await answer.read())

        for uid, body, token in itertools.product((MINE, THEIRS, "nobodys"), bodies.values(), tokens):
            answers.add(await post(uid, body, token))
        assert answers == {Answer(401, b'{"error":"this call needs the job\'s token","reason":""}')}
        assert (await post(MINE, bodies[THEIRS], f"Bearer {TOKENS[MINE]}")).status == 400
        assert (await post(THEIRS, bodies[MINE], f"Bearer {TOKENS[MINE]}")).status == 404
        assert not handler.whole
        assert not handler.broken
        assert (await post(MINE, bodies[MINE], f"Bearer {TOKENS[MINE]}")).status == 200
    assert len(handler.whole) == 1
    await server.stop()


async def test_what_a_worker_calls_itself_does_not_grow_the_operator(place: Place) -> None:
    """Its own job's token in hand, it claims to be any number."""
    before = place.state()
    async with aiohttp.ClientSession() as session:
        for number in range(0, 3000, 7):
            report = wire.encode(msgspec.structs.replace(REPORT, worker=number, incarnation=f"i{number}"))
            headers = {"Authorization": f"Bearer {TOKENS[PLAIN]}"}
            async with session.post(f"{place.plain}/v1/jobs/{PLAIN}/sync", data=report, headers=headers) as answer:
                assert not msgspec.json.decode(await answer.read())["known"]
    assert place.state() == before

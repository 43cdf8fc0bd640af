"""A worker's HTTP endpoint against callers that are wrong, hostile, slow or gone; a sender against such receivers."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import struct
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import xxhash

from shuffle_protocol.acks import Ack
from shuffle_protocol.checksum import checksum
from shuffle_protocol.frames import MAX_HEADER, MAX_PAYLOAD, Frame, FrameHeader, encode
from shuffle_protocol.messages import VERSION, Attempt, Member
from shuffle_protocol.shards import Shard
from shuffle_worker.transfer.http import HttpSettings
from shuffle_worker.transfer.http_peers import HttpPeers
from shuffle_worker.transfer.http_server import PeerServer
from shuffle_worker.transfer.transport import Interrupted, Payload, Unreachable

JOB, TOKEN = "the-job", "the-token"
QUICK = HttpSettings(connect=5.0, stall=0.5)
"""Stall: waited for in full where a peer stops, and far more than a proper one that shares this event loop needs."""
SOON = 60.0
"""Far more than a busy machine takes: only what never happens takes as long."""
PATIENT = HttpSettings(connect=5.0, stall=10.0)
DATA = random.Random(1).randbytes(5000)
FRAME = Frame(JOB, 1, 0, "sender", Attempt(0, 1, 0), 0, [Shard(3, 0, 10, checksum([DATA]), [DATA], len(DATA))])
WHOLE = encode(FRAME).header + DATA


class Handler:
    """What reached it: whole payloads, and how many broke off."""

    def __init__(self) -> None:
        self.whole: list[bytes] = []
        self.broken = 0

    async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
        taken = bytearray(header.payload)
        try:
            await payload.fill(memoryview(taken))
        except Interrupted:
            self.broken += 1
            raise
        self.whole.append(bytes(taken))
        return Ack.ACCEPTED


class Endpoint:
    def __init__(self, server: PeerServer, handler: Handler, address: str) -> None:
        self.server = server
        self.handler = handler
        self.address = address

    async def raw(self, data: bytes, then: str = "read") -> bytes:
        """Send these bytes; then read the answer, `half`-close and read, or `close`."""
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(data)
            await writer.drain()
            if then == "close":
                return b""
            if then == "half":
                writer.write_eof()
            return await asyncio.wait_for(reader.read(1 << 16), SOON)
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()

    async def post(
        self, body: bytes, length: int | None = None, token: str | None = TOKEN, job: str = JOB, then: str = "read"
    ) -> bytes:
        head = f"POST /v1/jobs/{job}/shards HTTP/1.1\r\nHost: worker\r\n"
        head += f"Authorization: Bearer {token}\r\n" if token is not None else ""
        head += f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
        return await self.raw(head.encode() + body, then)

    async def works(self) -> None:
        """It takes a proper frame still."""
        before = len(self.handler.whole)
        answer = await self.post(WHOLE)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert answer.endswith(b'{"ack":"accepted"}')
        assert self.handler.whole[before:] == [DATA]


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    handler = Handler()
    server = PeerServer(JOB, TOKEN, handler, "127.0.0.1", settings=QUICK)
    yield Endpoint(server, handler, await server.start())
    await server.stop()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def changed(at: int, kind: str, value: int) -> bytes:
    """A whole frame with a number of its header changed, and its checksum right."""
    header = bytearray(encode(FRAME).header)
    struct.pack_into(kind, header, at, value)
    struct.pack_into("<Q", header, 8, 0)
    struct.pack_into("<Q", header, 8, xxhash.xxh3_64_intdigest(header))
    return bytes(header) + DATA


# -- who may call ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "ü", "x" * 4000])
async def test_without_the_token_nothing_is_learned(endpoint: Endpoint, token: str | None) -> None:
    answers = [await endpoint.post(WHOLE, token=token, job=job) for job in (JOB, "another")]
    assert [status(answer) for answer in answers] == [401, 401]
    assert answers[0].partition(b"\r\n\r\n")[2] == answers[1].partition(b"\r\n\r\n")[2], "whichever job is asked for"
    assert endpoint.server.unauthorized == 2
    assert not endpoint.handler.whole
    await endpoint.works()


async def test_another_job_and_other_routes(endpoint: Endpoint) -> None:
    assert status(await endpoint.post(WHOLE, job="another")) == 404
    assert status(await endpoint.raw(b"GET /v1/jobs/the-job HTTP/1.1\r\nHost: w\r\n\r\n")) == 404
    assert status(await endpoint.raw(b"GET / HTTP/1.1\r\nHost: w\r\n\r\n")) == 404
    assert status(await endpoint.raw(b"GET /v1/jobs/the-job/shards HTTP/1.1\r\nHost: w\r\n\r\n")) == 405
    assert not endpoint.handler.whole


async def test_health_needs_no_token(endpoint: Endpoint) -> None:
    assert status(await endpoint.raw(b"GET /v1/health HTTP/1.1\r\nHost: w\r\n\r\n")) == 200


# -- what may come -----------------------------------------------------------------------------------------------------

MALFORMED: dict[str, tuple[bytes, int | None, str]] = {
    "nothing": (b"", None, "0 bytes where a frame begins"),
    "too short": (WHOLE[:50], None, "50 bytes where a frame begins"),
    "no frame": (b"x" * 5000, None, "not a frame"),
    "shorter than it says": (WHOLE[:-1], None, "in a body of"),
    "longer than it says": (WHOLE + b"!", None, "in a body of"),
    "another version": (changed(4, "<H", VERSION + 7), None, f"version {VERSION + 7}; this worker speaks {VERSION}"),
    "a payload beyond all limits": (changed(24, "<Q", MAX_PAYLOAD + 1), None, "is the most"),
    "a flipped bit": (WHOLE[:40] + bytes([WHOLE[40] ^ 1]) + WHOLE[41:], None, "checksum"),
    "a frame of another job": (WHOLE.replace(b"the-job", b"not-job", 1), None, "checksum"),
    "shards of other lengths": (changed(len(encode(FRAME).header) - 12, "<I", 77), None, "shards of 77 bytes"),
    "a body beyond all limits": (WHOLE, MAX_HEADER + MAX_PAYLOAD + 1, "is the most"),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_frames_are_refused_with_a_reason(endpoint: Endpoint, case: str) -> None:
    body, length, reason = MALFORMED[case]
    answer = await endpoint.post(body, length)
    assert status(answer) == (413 if length else 400), answer
    assert reason.encode() in answer
    assert endpoint.server.malformed == 1
    assert not endpoint.handler.whole
    assert not endpoint.handler.broken
    await endpoint.works()


async def test_a_frame_that_is_for_another_job(endpoint: Endpoint) -> None:
    answer = await endpoint.post(encode(FRAME._replace(job="other-1")).header + DATA)
    assert status(answer) == 400
    assert b"a frame of job 'other-1'" in answer
    assert not endpoint.handler.whole


async def test_a_body_without_a_length(endpoint: Endpoint) -> None:
    head = f"POST /v1/jobs/{JOB}/shards HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    chunk = f"{len(WHOLE):x}\r\n".encode() + WHOLE + b"\r\n0\r\n\r\n"
    answer = await endpoint.raw(head.encode() + chunk)
    assert status(answer) == 400
    assert b"Content-Length" in answer
    await endpoint.works()


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1/jobs/the-job/shards HTTP/1.1\r\nHost: w\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /" + b"y" * 100_000 + b" HTTP/1.1\r\nHost: w\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: w\r\n" + b"".join(b"H%d: v\r\n" % i for i in range(50_000)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"POST /v1/jobs/the-job/shards HTTP/1.1\r\nHost: w\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/jobs/the-job/shards HTTP/1.1\r\nHost: w\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"\r\n" * 1000,
    ],
    ids=["header", "path", "headers", "tls", "negative", "enormous", "newlines"],
)
async def test_what_is_hardly_http(endpoint: Endpoint, data: bytes) -> None:
    answer = await endpoint.raw(data, then="half")
    assert answer in (b"", b"reset") or 400 <= status(answer) < 500
    await endpoint.works()


async def test_any_bytes_behind_any_true_beginning(endpoint: Endpoint) -> None:
    """Cut and overwritten at random, from a seed: an error each, never a frame, never a defect."""
    chance = random.Random(20)
    for _ in range(150):
        body = bytearray(WHOLE[: chance.randrange(len(WHOLE))] if chance.random() < 0.5 else WHOLE)
        start = chance.randrange(len(encode(FRAME).header))
        body[start : start + 8] = chance.randbytes(8)
        answer = await endpoint.post(bytes(body))
        assert status(answer) == 400, answer
    assert endpoint.server.malformed == 150
    await endpoint.works()


# -- who goes away or says nothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [10, 70, len(WHOLE) - 2000, len(WHOLE) - 1])
@pytest.mark.parametrize("then", ["close", "half"])
async def test_a_body_that_breaks_off(endpoint: Endpoint, cut: int, then: str) -> None:
    await endpoint.post(WHOLE[:cut], length=len(WHOLE), then=then)
    await eventually(lambda: endpoint.handler.broken == (cut > len(encode(FRAME).header)))
    assert not endpoint.handler.whole
    await endpoint.works()


async def test_a_sender_that_stops_is_given_up(endpoint: Endpoint) -> None:
    """Its connection stays open: only the clock can tell."""
    answer = await endpoint.post(WHOLE[:-100], length=len(WHOLE))
    assert status(answer) == 400
    assert endpoint.handler.broken == 1
    await endpoint.works()


async def test_a_slow_sender_is_not_given_up() -> None:
    """It takes longer than the stall for all of the body, and less for each piece. Where the machine itself stood still
    for half a stall the attempt says nothing, and another is made with more time."""
    stall = 0.5
    while True:
        answer, took, longest = await sent_slowly(stall)
        if longest < stall / 2 or answer == 200:
            break
        stall *= 2
    assert answer == 200
    assert took > stall


async def sent_slowly(stall: float) -> tuple[int, float, float]:
    """The status that a body in pieces gets, and the seconds that it and the slowest of its pieces took."""
    server = PeerServer(JOB, TOKEN, Handler(), "127.0.0.1", settings=HttpSettings(stall=stall))
    host, _, port = (await server.start()).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/jobs/{JOB}/shards HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {TOKEN}\r\n"
    writer.write(f"{head}Content-Length: {len(WHOLE)}\r\n\r\n".encode())
    times = [time.monotonic()]
    for at in range(0, len(WHOLE), 500):
        writer.write(WHOLE[at : at + 500])
        await asyncio.sleep(stall / 8)
        times.append(time.monotonic())
    try:
        answer = status(await reader.read(4096))
    except (ConnectionError, IndexError):  # given up
        answer = 0
    writer.close()
    await server.stop()
    return answer, times[-1] - times[0], max(after - before for before, after in itertools.pairwise(times))


async def test_an_ack_waits_for_the_rest_of_the_body() -> None:
    """A sender that is answered while it sends might take the connection for lost, and the ack with it."""

    class Hasty:
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            return Ack.STALE

    server = PeerServer(JOB, TOKEN, Hasty(), "127.0.0.1")
    host, _, port = (await server.start()).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/jobs/{JOB}/shards HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {TOKEN}\r\n"
    writer.write(f"{head}Content-Length: {len(WHOLE)}\r\n\r\n".encode() + WHOLE[:-1])
    reading = asyncio.create_task(reader.read(4096))
    await asyncio.sleep(0.03)
    assert not reading.done()
    writer.write(WHOLE[-1:])
    assert (await reading).endswith(b'{"ack":"stale"}')
    writer.close()
    await server.stop()


async def test_a_receiver_that_takes_its_time_is_not_given_up(endpoint: Endpoint) -> None:
    """The clock runs only while something is waited for, not while the handler waits for room."""

    class Slow(Handler):
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            await asyncio.sleep(QUICK.stall * 2.5)
            return await super().receive(header, payload)

    server = PeerServer(JOB, TOKEN, slow := Slow(), "127.0.0.1", settings=QUICK)
    other = Endpoint(server, slow, await server.start())
    await other.works()
    await server.stop()


async def test_lies_about_length_take_no_memory(endpoint: Endpoint) -> None:
    """Thirty callers announce a header of 24 MiB and a payload of 1 GiB, and send a little of it: all of them together
    take less than one of the headers."""
    header = bytearray(encode(FRAME).header)
    struct.pack_into("<I", header, 20, 1 << 20)
    struct.pack_into("<I", header, 16, 64 + len(JOB) + len("sender") + 24 * (1 << 20))
    struct.pack_into("<Q", header, 24, 1 << 30)
    length = 64 + len(JOB) + len("sender") + 24 * (1 << 20) + (1 << 30)
    await endpoint.works()
    gc.collect()
    tracemalloc.start()
    try:
        answers = await asyncio.gather(*(endpoint.post(bytes(header), length) for _ in range(30)))
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()
    assert {status(answer) for answer in answers} == {400}
    await endpoint.works()


async def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


# -- a sender, and receivers that are wrong, slow or gone -------------------------------------------------------------

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def receiver(serve: Serve) -> AsyncIterator[Member]:
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield Member(4, "x", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def peers() -> AsyncIterator[HttpPeers]:
    made = HttpPeers(TOKEN, PATIENT)
    yield made
    await made.close()


def large() -> Frame:
    data = bytes(16 << 20)
    return FRAME._replace(shards=[Shard(0, 0, 1, 0, [data], len(data))])


async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def reads_and_says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 20):
        pass


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (never_reads, f"no progress for {QUICK.stall} seconds"),
        (reads_and_says_nothing, "no progress"),
        (hangs_up, "worker 4"),
    ],
)
async def test_receivers_that_do_not_answer(serve: Serve, reason: str) -> None:
    peers = HttpPeers(TOKEN, QUICK)
    async with receiver(serve) as member:
        with pytest.raises(Unreachable, match=reason):
            await peers.send(member, large())
    await peers.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"ack":"perhaps"', "no Answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "no Answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "worker 4"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", "answered 302"),
        (b'HTTP/1.1 401 No\r\nContent-Length: 15\r\n\r\n{"error":"no!"}', "answered 401: no!"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 999999\r\n\r\n" + b"oh no " * 20_000, "answered 500: oh no"),
        (b"SSH-2.0-OpenSSH\r\n", "worker 4"),
    ],
    ids=["ack", "text", "cut", "redirect", "token", "long", "ssh"],
)
async def test_receivers_that_answer_something_else(peers: HttpPeers, answer: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(WHOLE))
        writer.write(answer)

    async with receiver(serve) as member:
        with pytest.raises(Unreachable, match=reason):
            await peers.send(member, FRAME)


async def test_a_wrong_token_is_said(endpoint: Endpoint) -> None:
    peers = HttpPeers("another token", PATIENT)
    with pytest.raises(Unreachable, match="401: this call needs the job's token"):
        await peers.send(Member(1, "x", endpoint.address), FRAME)
    with pytest.raises(Unreachable, match="worker 1"):  # refused while most of it is still to be sent
        await peers.send(Member(1, "x", endpoint.address), large())
    await peers.close()


@pytest.mark.parametrize("address", ["", "nonsense", "127.0.0.1:999999", "host with space:1", "[::1"])
async def test_an_address_that_is_none(peers: HttpPeers, address: str) -> None:
    with pytest.raises(Unreachable):
        await peers.send(Member(1, "x", address), FRAME)


async def test_a_server_that_was_restarted_is_found_again(peers: HttpPeers) -> None:
    handler = Handler()
    first = PeerServer(JOB, TOKEN, handler, "127.0.0.1", settings=QUICK)
    address = await first.start()
    assert await peers.send(Member(1, "x", address), FRAME) is Ack.ACCEPTED
    await first.stop()
    second = PeerServer(JOB, TOKEN, handler, "127.0.0.1", int(address.rpartition(":")[2]), settings=QUICK)
    await second.start()
    for _ in range(2):  # the first may meet the connection that is gone
        try:
            assert await peers.send(Member(1, "x", address), FRAME) is Ack.ACCEPTED
        except Unreachable:
            continue
    assert len(handler.whole) >= 2
    await second.stop()

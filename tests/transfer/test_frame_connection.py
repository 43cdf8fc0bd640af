"""The connections that bring frames: which calls they answer themselves, in turn, and which are aiohttp's."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.transfer.test_http_frames import DATA, FRAME, JOB, QUICK, SOON, TOKEN, WHOLE, Handler, eventually

from shuffle_protocol.acks import Ack
from shuffle_protocol.frames import FrameHeader, encode
from shuffle_worker.transfer.frame_connection import FrameCall, parsed
from shuffle_worker.transfer.http_server import PeerServer
from shuffle_worker.transfer.transport import Payload

HEAD = b"POST /v1/jobs/the-job/shards HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer x\r\nContent-Length: 5"


def test_the_head_of_a_call() -> None:
    assert parsed(HEAD) == FrameCall("the-job", "Bearer x", 5, False)
    odd = HEAD.replace(b"Host: w", b"hOST:w\r\nAccept: */*\r\nX-Empty:\r\nVia: 1.1 a\r\nVia: 1.1 b").replace(
        b"5", b"5 \t"
    )
    assert parsed(odd) == FrameCall("the-job", "Bearer x", 5, False)
    assert parsed(HEAD + b"\r\nConnection: Close") == FrameCall("the-job", "Bearer x", 5, True)
    assert parsed(HEAD.replace(b"Bearer x", "Bearer ü\udcff".encode(errors="surrogateescape"))) == FrameCall(
        "the-job", "Bearer ü\udcff", 5, False
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POST", b"PUT"),
        (b"POST", b"post"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"/shards", b"/shards?x=1"),
        (b"the-job", b"the%2Djob"),
        (b"the-job", b"the/job"),
        (b"Host: w\r\n", b""),
        (b"Host: w", b"Host: w\r\n folded"),
        (b"Host: w", b"Host : w"),
        (b"Host: w", b"Host: a\nb"),
        (b"Host: w", b"Host: a\0b"),
        (b"Host: w", b"nonsense"),
        (b"Host: w", b"Host: w\r\nTransfer-Encoding: chunked"),
        (b"Host: w", b"Host: w\r\nExpect: 100-continue"),
        (b"Host: w", b"Host: w\r\nUpgrade: websocket"),
        (b"Host: w", b"Host: w\r\nContent-Length: 5"),
        (b"Host: w", b"Host: w\r\nAuthorization: Bearer y"),
        (b": 5", b": -5"),
        (b": 5", b": +5"),
        (b": 5", b": 5, 5"),
        (b": 5", b": 0x5"),
        (b": 5", b": "),
        (b": 5", b": " + b"9" * 5000),
        (b"\r\nContent-Length: 5", b""),
    ],
)
def test_what_is_not_in_the_plain_form_is_no_call_with_a_frame(old: bytes, new: bytes) -> None:
    assert old in HEAD
    assert parsed(HEAD.replace(old, new)) is None


def call(body: bytes = WHOLE, token: str = TOKEN, more: str = "") -> bytes:
    head = f"POST /v1/jobs/{JOB}/shards HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {token}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: w\r\n\r\n"
CHUNKED = call(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"ack":"accepted"}'


class Talk:
    """A server with a handler, and a connection to it."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.handler = handler or Handler()
        self.server = PeerServer(JOB, TOKEN, self.handler, "127.0.0.1", settings=QUICK)

    async def __aenter__(self) -> Talk:
        host, _, port = (await self.server.start()).rpartition(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await self.server.stop()

    async def answer(self) -> tuple[int, bytes]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SOON)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), SOON) == b""


async def test_calls_one_behind_the_other() -> None:
    """In one write, before any is answered; a refusal in between ends nothing."""
    async with Talk() as talk:
        talk.writer.write(call() + call(WHOLE[:-1]) + call() + call(token="no") + call())
        answers = [await talk.answer() for _ in range(5)]
        assert [status for status, _ in answers] == [200, 400, 200, 401, 200]
        assert talk.handler.whole == [DATA] * 3


async def test_a_call_byte_by_byte() -> None:
    async with Talk() as talk:
        for at, byte in enumerate(call()):
            talk.writer.write(bytes([byte]))
            if at < 400:
                await talk.writer.drain()
                await asyncio.sleep(0)
        assert await talk.answer() == (200, b'{"ack":"accepted"}')


async def test_the_answer_is_http() -> None:
    async with Talk() as talk:
        talk.writer.write(call())
        assert await asyncio.wait_for(talk.reader.readexactly(len(OK)), SOON) == OK


@pytest.mark.parametrize("frames_before", [0, 2])
async def test_other_calls_are_answered_on_the_same_connection(frames_before: int) -> None:
    """Behind frames too, and those that come behind them."""
    async with Talk() as talk:
        talk.writer.write(call() * frames_before + HEALTH + HEALTH + CHUNKED)
        answers = [(await talk.answer())[0] for _ in range(frames_before + 3)]
        assert answers == [200] * (frames_before + 2) + [400]
        assert talk.handler.whole == [DATA] * frames_before


async def test_who_wants_the_connection_closed() -> None:
    async with Talk() as talk:
        talk.writer.write(call(more="Connection: close\r\n") + call())
        assert (await talk.answer())[0] == 200
        assert await talk.ended()
        assert len(talk.handler.whole) == 1


@pytest.mark.parametrize("taken", [0, 100, len(DATA)])
async def test_a_defect_of_the_handler_is_an_answer(taken: int) -> None:
    class Broken(Handler):
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            if header.number == 0:
                await payload.fill(memoryview(bytearray(taken)))
                raise RuntimeError("a defect")
            return await super().receive(header, payload)

    async with Talk(Broken()) as talk:
        talk.writer.write(call() + call(encode(FRAME._replace(number=1)).header + DATA))
        assert (await talk.answer())[0] == 500
        assert (await talk.answer())[0] == 200
        assert talk.handler.whole == [DATA]


async def test_a_payload_that_was_taken_in_part_ends_the_connection() -> None:
    """The next call would begin anywhere."""

    class Impatient(Handler):
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await payload.fill(memoryview(bytearray(header.payload)))
            return Ack.BUSY

    async with Talk(Impatient()) as talk:
        talk.writer.write(call()[:-10])
        assert (await talk.answer())[0] == 400
        assert await talk.ended()


async def test_more_than_the_payload_is_not_to_be_had() -> None:
    class Greedy(Handler):
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            with pytest.raises(ValueError, match="5001 bytes of a body of which 5000 are left"):
                await payload.fill(memoryview(bytearray(header.payload + 1)))
            return await super().receive(header, payload)

    async with Talk(Greedy()) as talk:
        talk.writer.write(call() * 2)
        assert [(await talk.answer())[0] for _ in range(2)] == [200, 200]


async def test_a_head_that_never_ends() -> None:
    """aiohttp has its limits for that."""
    async with Talk() as talk:
        talk.writer.write(call()[:60] + b"X: " + b"y" * 100_000)
        assert (await talk.answer())[0] == 400


async def test_a_server_that_stops_breaks_frames_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_worker.transfer.http_server.GRACE", 0.05)
    async with Talk() as talk:
        talk.writer.write(call()[:-100])
        await eventually(lambda: any(each._busy for each in talk.server._connections))
        await asyncio.wait_for(talk.server.stop(), SOON)
        assert not talk.handler.whole
        assert not talk.server._connections

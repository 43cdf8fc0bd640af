"""Bytes of a connection go where they are wanted, and no more of them come than somebody asks for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

import pytest

from shuffle_worker.transfer.socket_reader import AHEAD, ENDED, SocketReader
from shuffle_worker.transfer.transport import Interrupted


class Socket(asyncio.Transport):
    """A connection's other half, and the event loop between: what is sent is read as soon as somebody reads."""

    def __init__(self, reader: SocketReader) -> None:
        super().__init__()
        self.reader = reader
        self.waiting = b""
        self.reading = True
        self.places: list[int] = []
        """How much room each read had."""
        reader.connection_made(self)

    def send(self, data: bytes) -> None:
        self.waiting += data
        while self.waiting and self.reading:
            place = self.reader.get_buffer(-1)
            self.places.append(len(place))
            count = min(len(place), len(self.waiting))
            place[:count] = self.waiting[:count]
            self.waiting = self.waiting[count:]
            self.reader.buffer_updated(count)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        asyncio.get_running_loop().call_soon(self.send, b"")


@pytest.fixture
async def socket() -> Socket:
    return Socket(SocketReader())


async def begun(work: Awaitable[object]) -> asyncio.Future[object]:
    """It waits for bytes now."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_place_is_filled_by_the_socket_itself(socket: Socket) -> None:
    into = bytearray(1 << 20)
    filling = await begun(socket.reader.fill(memoryview(into)))
    data = random.Random(1).randbytes(1 << 20)
    socket.send(data[:1000])
    socket.send(data[1000:] + b"more")
    await filling
    assert into == data
    assert bytes(socket.reader.held) == b"more"
    assert socket.places == [1 << 20, (1 << 20) - 1000, AHEAD]


async def test_what_came_ahead_goes_first(socket: Socket) -> None:
    socket.send(b"0123456789")
    assert bytes(await socket.reader.take(4)) == b"0123"
    into = bytearray(8)
    filling = await begun(socket.reader.fill(memoryview(into)))
    socket.send(b"abcdef")
    await filling
    assert bytes(into) == b"456789ab"
    await socket.reader.skip(1)
    assert bytes(await socket.reader.take(3)) == b"def"
    await socket.reader.fill(memoryview(bytearray()))


async def test_nobody_who_reads_holds_the_sender_up(socket: Socket) -> None:
    """Also of what has come in part and was taken: there is room for that much then."""
    socket.send(bytes(10))
    await socket.reader.skip(10)
    socket.send(bytes(3 * AHEAD))
    assert not socket.reading
    assert len(socket.reader.held) == AHEAD
    assert len(socket.waiting) == 2 * AHEAD
    await socket.reader.skip(3 * AHEAD)
    assert not socket.waiting
    assert not socket.reader.held


async def test_much_is_taken_as_it_comes(socket: Socket) -> None:
    data = random.Random(2).randbytes(3 * AHEAD + 17)
    taking = await begun(socket.reader.take(len(data)))
    socket.send(data)
    assert await taking == data


@pytest.mark.parametrize("ask", ["fill", "take", "skip", "more"])
async def test_what_does_not_come(socket: Socket, ask: str) -> None:
    reader = socket.reader

    def work() -> Awaitable[object]:
        if ask == "fill":
            return reader.fill(memoryview(bytearray(100)))
        return {"take": reader.take, "skip": reader.skip}[ask](100) if ask != "more" else reader.more()

    socket.send(b"x" * 10 if ask != "more" else b"")
    waiting = await begun(work())
    assert reader.waiting
    reader.eof_received()
    with pytest.raises(Interrupted, match=ENDED):
        await waiting
    reader.connection_lost(OSError("reset"))
    with pytest.raises(Interrupted, match=ENDED):  # the first reason stays
        await work()


async def test_what_has_come_is_there_after_the_end(socket: Socket) -> None:
    socket.send(b"whole")
    socket.reader.eof_received()
    assert await socket.reader.take(5) == b"whole"


async def test_a_place_is_let_go(socket: Socket) -> None:
    """Where who waits for it is cancelled, nothing is written to it any more."""
    into = bytearray(10)
    filling = await begun(socket.reader.fill(memoryview(into)))
    socket.send(b"abc")
    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling
    socket.send(b"defghij")
    assert bytes(into) == b"abc" + bytes(7)


@pytest.mark.parametrize("seed", range(5))
async def test_any_pieces_and_any_calls(seed: int) -> None:
    """A stream of bytes arrives as it was sent, however it is cut and whatever asks for it."""
    chance = random.Random(seed)
    socket = Socket(SocketReader())
    data = chance.randbytes(chance.randrange(4 * AHEAD, 8 * AHEAD))
    got = bytearray()

    async def send() -> None:
        at = 0
        while at < len(data):
            size = chance.choice([1, 100, 5000, AHEAD, 2 * AHEAD])
            socket.send(data[at : at + size])
            at += size
            if chance.random() < 0.5:
                await asyncio.sleep(0)

    async def read() -> None:
        while len(got) < len(data):
            size = min(chance.choice([1, 64, 3000, AHEAD + 1, 3 * AHEAD]), len(data) - len(got))
            match chance.randrange(3):
                case 0:
                    got.extend(await socket.reader.take(size))
                case 1:
                    into = bytearray(size)
                    await socket.reader.fill(memoryview(into))
                    got.extend(into)
                case 2:
                    await socket.reader.skip(size)
                    got.extend(data[len(got) : len(got) + size])

    await asyncio.gather(send(), read())
    assert got == data

"""Workers that only say what they did, for `control_plane`: real messages, and next to no work of their own.

A worker registers, then syncs until it is told to stop: one lease in hand, told as done with the next message. Of a
view it reads no more than the epoch, for thousands of them share a process.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from shuffle_protocol import wire
from shuffle_protocol.messages import (
    VERSION,
    Counters,
    Done,
    Lease,
    LeaseId,
    LeaseKind,
    PlanSummary,
    Register,
    Registered,
    Sync,
)

ROWS = 10
TRIES = 20


class Epoch(msgspec.Struct):
    """All that is read of a view."""

    epoch: int


class Told(msgspec.Struct):
    """What is read of Orders."""

    known: bool
    view: Epoch | None = None
    leases: list[Lease] = []
    stop: bool = False


@dataclass(slots=True)
class Talker:
    """One worker. process: how many there were in its slot before it."""

    number: int
    splits: int
    groups: int
    process: int = 0
    epoch: int = -1
    held: list[LeaseId] = field(default_factory=list)
    stopped: bool = False
    sent: int = 0
    heard: int = 0
    transferred: int = 0

    @property
    def incarnation(self) -> str:
        """As hard to compress as a real one."""
        return hashlib.blake2b(f"{self.number} {self.process}".encode(), digest_size=8).hexdigest()

    @property
    def idle(self) -> bool:
        return not self.held

    def hello(self) -> bytes:
        self.sent += 1
        address = f"10.{self.number >> 16}.{self.number >> 8 & 255}.{self.number & 255}:8080"
        return msgspec.json.encode(Register(VERSION, self.number, self.incarnation, address, 1, 1 << 29))

    def welcome(self, answer: bytes) -> None:
        reply = msgspec.json.decode(answer, type=Registered)
        assert reply.accepted, reply.message

    def report(self, wait: float = 0.0) -> bytes:
        self.sent += 1
        done = [self._done(lease) for lease in self.held]
        self.transferred += sum(lease.kind is LeaseKind.TRANSFER for lease in self.held)
        counters = Counters(spilled=1 << 30, memory_peak=1 << 28, cpu=12.5, steps=self.sent)
        return msgspec.json.encode(
            Sync(self.number, self.incarnation, self.epoch, [], done, [], counters, free=1, wait=wait)
        )

    def obey(self, answer: bytes, deflated: bool) -> None:
        self.heard += len(answer)
        told = msgspec.json.decode(zlib.decompress(answer, -zlib.MAX_WBITS) if deflated else answer, type=Told)
        assert told.known or told.stop
        if told.view is not None:
            self.epoch = told.view.epoch
        self.held = [lease.id for lease in told.leases]
        self.stopped = told.stop

    def _done(self, lease: LeaseId) -> Done:
        if lease.kind is LeaseKind.PLAN:
            plan = PlanSummary("p", [1] * self.splits, [1] * self.groups, self.groups, 1, 1, 1, 0, 0, keeps_rows=False)
            return Done(lease, plan=plan)
        return Done(lease, rows_read=ROWS, rows_moved=ROWS, rows_written=ROWS)


@dataclass(slots=True)
class Line:
    """A worker's connection to its coordinator, made again when it breaks: what was said is then said again."""

    url: str
    job: str
    token: str
    _open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, path: str, body: bytes) -> tuple[bytes, bool]:
        """The answer, and whether it is deflated."""
        for _ in range(TRIES):
            try:
                return await self._once(path, body)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()
                await asyncio.sleep(random.uniform(0.5, 1.0))
        raise ConnectionError(f"{self.url} does not answer")

    async def _once(self, path: str, body: bytes) -> tuple[bytes, bool]:
        if self._open is None:
            where = urlsplit(self.url)
            self._open = await asyncio.open_connection(where.hostname, where.port, limit=1 << 20)
        reader, writer = self._open
        head = (
            f"POST {path.format(job=self.job)} HTTP/1.1\r\nHost: coordinator\r\n"
            f"Authorization: {wire.bearer(self.token)}\r\nContent-Type: application/json\r\n"
            "Accept-Encoding: deflate\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        head_back = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = head_back.split(None, 2)[1]
        length = int(head_back.split("content-length:", 1)[1].split("\r\n", 1)[0])
        answer = await reader.readexactly(length)
        if status != "200":
            raise RuntimeError(f"{status}: {answer.decode()}")
        return answer, "content-encoding: deflate" in head_back

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


@dataclass
class Crowd:
    """Workers that reach their coordinator over HTTP, a connection each.

    rate: reports a second of all of them. share_lost: of the workers that go without a word while rows are transferred,
    each replaced by another process; gone: tells the coordinator, as a launcher would."""

    url: str
    token: str
    job: str
    workers: int
    splits: int
    groups: int
    rate: float
    share_lost: float
    gone: Callable[[int], None]
    took: list[float] = field(default_factory=list)
    talkers: list[Talker] = field(default_factory=list)

    async def run(self) -> None:
        self.talkers = [Talker(n, self.splits, self.groups) for n in range(self.workers)]
        lives = [asyncio.create_task(self._live(talker)) for talker in self.talkers]
        lose = asyncio.create_task(self._lose(lives))
        await asyncio.gather(*lives, return_exceptions=False) if not self.share_lost else await lose
        lose.cancel()

    async def _lose(self, lives: list[asyncio.Task[None]]) -> None:
        """Half way through the transfers some workers go; waits for all others."""
        while sum(talker.transferred for talker in self.talkers) < self.splits // 2:  # noqa: ASYNC110 - a sum
            await asyncio.sleep(0.2)
        for number in random.Random(0).sample(range(self.workers), round(self.share_lost * self.workers)):
            lives[number].cancel()
            await asyncio.wait([lives[number]])
            self.gone(number)
            successor = Talker(number, self.splits, self.groups, process=1)
            self.talkers.append(successor)
            lives.append(asyncio.create_task(self._live(successor)))
            await asyncio.sleep(0.1)
        await asyncio.gather(*(life for life in lives if not life.cancelled()))

    async def _live(self, talker: Talker) -> None:
        arriving = self.workers / 1000
        await asyncio.sleep(random.uniform(0.0, arriving if not talker.process else 1.0))
        line = Line(self.url, self.job, self.token)
        try:
            talker.welcome((await line.call(wire.REGISTER, talker.hello()))[0])
            while not talker.stopped:
                if talker.idle:
                    talker.obey(*await line.call(wire.SYNC, talker.report(wait=10.0)))
                    continue
                plans = any(lease.kind is LeaseKind.PLAN for lease in talker.held)
                await asyncio.sleep(arriving + 1 if plans else random.uniform(0.0, 2 * self.workers / self.rate))
                report = talker.report()
                since = time.perf_counter()
                answer = await line.call(wire.SYNC, report)
                self.took.append(time.perf_counter() - since)
                talker.obey(*answer)
        finally:
            line.close()

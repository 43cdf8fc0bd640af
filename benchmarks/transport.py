"""What TLS costs between workers: frames from one process to another, with it and without it, turn by turn.

    python -m benchmarks.transport --size 2G --repetitions 5

One process sends with `HttpPeers`, another takes in with `PeerServer`, over loopback; nothing is done with what
arrives. That is the transport alone: in a job, reading, scattering, checksums and writing take most of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import statistics
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from shuffle_operator.api.quantities import parse_bytes
from shuffle_operator.tls.authority import SEED_SIZE, Authority
from shuffle_protocol.acks import Ack
from shuffle_protocol.checksum import checksum
from shuffle_protocol.frames import Frame, FrameHeader
from shuffle_protocol.messages import Attempt, Member
from shuffle_protocol.shards import Shard
from shuffle_protocol.tls import Tls
from shuffle_worker.transfer.http_peers import HttpPeers
from shuffle_worker.transfer.http_server import PeerServer
from shuffle_worker.transfer.transport import Payload

JOB, TOKEN = "benchmark", secrets.token_urlsafe(16)
FRAME = 8 << 20
SHARD = 256 << 10
AT_ONCE = 2
"""Frames on their way, as the outbox has it to one owner."""


class Run(NamedTuple):
    """rate: MB a second. sent, received: processor seconds for a GB of the two sides."""

    rate: float
    sent: float
    received: float


class Sink:
    def __init__(self) -> None:
        self._buffers: list[bytearray] = []  # as an inbox has them

    async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
        buffer = self._buffers.pop() if self._buffers else bytearray(header.payload)
        await payload.fill(memoryview(buffer))
        self._buffers.append(buffer)
        return Ack.ACCEPTED


def serve(pipe: Connection, folder: str, token: str) -> None:
    """Tells the addresses without and with TLS, then the processor time so far for everything that it is sent."""

    async def work() -> None:
        servers = [PeerServer(JOB, token, Sink(), "127.0.0.1", tls=tls) for tls in (None, Tls(folder, JOB))]
        pipe.send([await server.start() for server in servers])
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, pipe.recv):
            pipe.send(time.process_time())
        for server in servers:
            await server.stop()

    asyncio.run(work())


async def measure(address: str, tls: Tls | None, size: int, pipe: Connection) -> Run:
    data = os.urandom(SHARD)
    shards = [Shard(0, 0, 1, checksum([data]), [data], len(data)) for _ in range(FRAME // SHARD)]
    frame = Frame(JOB, 0, 0, "sender", Attempt(0, 0, 0), 0, shards)
    peers, member = HttpPeers(TOKEN, tls=tls), Member(1, "x", address)
    left = size // FRAME

    async def send() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            assert await peers.send(member, frame) is Ack.ACCEPTED

    await peers.send(member, frame)  # the connection is made, and the frame is in the cache
    loop = asyncio.get_running_loop()
    pipe.send(True)
    theirs = await loop.run_in_executor(None, pipe.recv)
    began, mine = time.perf_counter(), time.process_time()
    await asyncio.gather(*(send() for _ in range(AT_ONCE)))
    took, mine = time.perf_counter() - began, time.process_time() - mine
    pipe.send(True)
    theirs = await loop.run_in_executor(None, pipe.recv) - theirs
    await peers.close()
    return Run(size / took / 1e6, mine / size * 1e9, theirs / size * 1e9)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="1G", help="bytes for each measurement (default: 1G)")
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args(arguments)
    size = parse_bytes(given.size)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in Authority(secrets.token_bytes(SEED_SIZE)).for_workers(JOB).items():
            Path(folder, name).write_text(content, encoding="utf-8")
        pipe, theirs = get_context("spawn").Pipe()
        process = get_context("spawn").Process(target=serve, args=(theirs, folder, TOKEN), daemon=True)
        process.start()
        plain, secure = pipe.recv()
        runs: dict[str, list[Run]] = {"without": [], "with": []}
        for _ in range(given.repetitions):
            runs["without"].append(asyncio.run(measure(plain, None, size, pipe)))
            runs["with"].append(asyncio.run(measure(secure, Tls(folder, JOB), size, pipe)))
        pipe.send(False)
        process.join(10)
    print(f"{given.size} a measurement, {given.repetitions} of each, medians\n")
    print("| TLS | MB/s | processor s/GB, sender | receiver |\n| --- | ---: | ---: | ---: |")
    for name, each in runs.items():
        rate, sent, received = (statistics.median(values) for values in zip(*each, strict=True))
        print(f"| {name} | {rate:,.0f} | {sent:.2f} | {received:.2f} |")
    ratios = [b.rate / a.rate for a, b in zip(runs["without"], runs["with"], strict=True)]
    print(f"\nwith TLS to without, pair by pair: {', '.join(f'{r:.2f}' for r in ratios)}", file=sys.stdout)


if __name__ == "__main__":
    main()

"""TLS between workers, and to the coordinator: it works, and there is no way around it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.tls.certificates import issued
from tests.transfer.test_http_frames import DATA, FRAME, JOB, PATIENT, QUICK, TOKEN, WHOLE, Handler, large

from shuffle_protocol.acks import Ack
from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.messages import VERSION, Member, Register
from shuffle_protocol.tls import Tls, server_side
from shuffle_worker.transfer.http import HttpControl
from shuffle_worker.transfer.http_peers import HttpPeers
from shuffle_worker.transfer.http_server import PeerServer
from shuffle_worker.transfer.transport import Unreachable

OTHER_SEED = bytes(32)
HELLO = Register(VERSION, 0, "abc", "127.0.0.1:1", 1, 1 << 30)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return issued(tmp_path / "mine", JOB)


class Worker:
    def __init__(self, tls: Tls | None) -> None:
        self.handler = Handler()
        self.server = PeerServer(JOB, TOKEN, self.handler, "127.0.0.1", settings=QUICK, tls=tls)
        self.member = Member(1, "x", "")

    async def __aenter__(self) -> Worker:
        self.member = Member(1, "x", await self.server.start())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()


async def send(worker: Worker, tls: Tls | None, frame: object = FRAME) -> Ack:
    peers = HttpPeers(TOKEN, PATIENT, tls)
    try:
        return await peers.send(worker.member, frame)  # type: ignore[arg-type]
    finally:
        await peers.close()


async def test_frames_go_through(tls: Tls) -> None:
    async with Worker(tls) as worker:
        assert await send(worker, tls) is Ack.ACCEPTED
        assert await send(worker, tls, large()) is Ack.ACCEPTED
        assert worker.handler.whole == [DATA, bytes(16 << 20)]


async def test_nothing_that_is_sent_can_be_read_on_the_way(tls: Tls) -> None:
    """Neither the token nor the rows."""
    seen = bytearray()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = worker.member.address.rpartition(":")
        beyond, on = await asyncio.open_connection(host, int(port))

        async def carry(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                seen.extend(data)
                to.write(data)
            to.close()

        with contextlib.suppress(ConnectionError):
            await asyncio.gather(carry(reader, on), carry(beyond, writer))

    async with Worker(tls) as worker:
        between = await asyncio.start_server(relay, "127.0.0.1", 0)
        member = Member(1, "x", f"127.0.0.1:{between.sockets[0].getsockname()[1]}")
        peers = HttpPeers(TOKEN, PATIENT, tls)
        assert await peers.send(member, FRAME) is Ack.ACCEPTED
        await peers.close()
        between.close()
    assert len(seen) > len(WHOLE)
    for secret in (TOKEN.encode(), DATA[:32], JOB.encode() + b"sender", b"Authorization"):
        assert secret not in seen


async def test_workers_of_other_authorities_and_other_jobs_are_not_talked_to(tls: Tls, tmp_path: Path) -> None:
    async with Worker(tls) as worker:
        for stranger in (issued(tmp_path / "a", JOB, OTHER_SEED), issued(tmp_path / "b", "another")):
            with pytest.raises(Unreachable, match=r"worker 1.*certificate verify failed"):
                await send(worker, stranger)
        assert not worker.handler.whole
        assert worker.server.unauthorized == 0  # it never came to a token
        assert await send(worker, tls) is Ack.ACCEPTED


async def test_one_side_without_tls_does_not_do(tls: Tls) -> None:
    async with Worker(tls) as worker:
        with pytest.raises(Unreachable):
            await send(worker, None)
        assert not worker.handler.whole
    async with Worker(None) as plain:
        with pytest.raises(Unreachable, match="worker 1"):
            await send(plain, tls)
        assert not plain.handler.whole


async def test_no_version_before_1_3(tls: Tls) -> None:
    async with Worker(tls) as worker:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        host, _, port = worker.member.address.rpartition(":")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=old)
    assert tls.client.minimum_version is tls.server.minimum_version is ssl.TLSVersion.TLSv1_3


# -- the coordinator ---------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def answering(context: ssl.SSLContext) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Somebody with a certificate who takes what comes; the address, and what came."""
    came: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            came.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    server.close()


async def test_a_worker_cannot_pass_for_the_coordinator(tls: Tls) -> None:
    """With the job's own certificate of workers, and the token to be had for the asking."""
    async with answering(tls.server) as (address, came):
        control = HttpControl(address, TOKEN, JOB, PATIENT, tls)
        with pytest.raises(Unreachable, match=r"[Hh]ostname mismatch|not valid for"):
            await control.register(HELLO)
        await control.close()
    assert b"".join(came) == b""


@pytest.mark.parametrize(("url", "secure"), [("http://127.0.0.1:1", True), ("https://127.0.0.1:1", False)])
def test_an_address_and_certificates_go_together(tls: Tls, url: str, secure: bool) -> None:
    with pytest.raises(ValueError, match="do not go together"):
        HttpControl(url, TOKEN, JOB, tls=tls if secure else None)


# -- files -------------------------------------------------------------------------------------------------------------

Spoil = Callable[[Path], object]


def another_key(folder: Path) -> None:
    issued(folder.parent / "another", "another")
    (folder.parent / "another" / "tls.key").replace(folder / "tls.key")


@pytest.mark.parametrize(
    ("spoil", "about"),
    [
        (lambda folder: (folder / "ca.crt").unlink(), "ca.crt.*No such file"),
        (lambda folder: (folder / "ca.crt").write_text("nonsense"), "ca.crt.*cannot be used"),
        (lambda folder: (folder / "tls.key").unlink(), "tls.key.*No such file"),
        (lambda folder: (folder / "tls.crt").write_text(""), "tls.crt"),
        (another_key, "tls.key"),
    ],
    ids=["no authority", "a bad one", "no key", "no certificate", "another key"],
)  # fmt: skip
def test_files_that_are_of_no_use_are_named(tls: Tls, tmp_path: Path, spoil: Spoil, about: str) -> None:
    spoil(tmp_path / "mine")
    with pytest.raises(InvalidSpec, match=about):
        Tls(tmp_path / "mine", JOB)


def test_nothing_is_resumed() -> None:
    assert server_side(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).num_tickets == 0

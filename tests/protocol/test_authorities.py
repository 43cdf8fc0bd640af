"""The certificates of public authorities are read late, and trusted as those that were read at once."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tls.certificates import issued

from shuffle_protocol.authorities import LateContext, read_late
from shuffle_protocol.tls import AUTHORITY, CERTIFICATE, KEY, worker_name

JOB = "job-1"


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    """One of an authority that `tmp_path` has the certificate of."""
    issued(tmp_path, JOB)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / CERTIFICATE, tmp_path / KEY)
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Raises ssl.SSLError where one of the two does not want the other."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(down, up, server_hostname=worker_name(JOB)),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert all(side.version() for side in sides)


def late() -> ssl.SSLContext:
    with read_late():
        return ssl.create_default_context()


def test_an_authority_of_the_system_is_trusted(
    tmp_path: Path, server: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = late()
    assert isinstance(client, LateContext)
    assert client.cert_store_stats()["x509_ca"] == 0
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / AUTHORITY))  # as it is when the first connection is made
    shake_hands(client, server)
    assert type(client) is ssl.SSLContext
    assert client.cert_store_stats()["x509_ca"] == 1
    shake_hands(client, server)
    assert client.cert_store_stats()["x509_ca"] == 1


def test_another_one_is_not(server: ssl.SSLContext) -> None:
    """`SSL_CERT_FILE` is empty in these tests."""
    client = late()
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert client.check_hostname
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(client, server)


def test_a_context_with_authorities_of_its_own_is_as_ever(tmp_path: Path, server: ssl.SSLContext) -> None:
    with read_late():
        client = ssl.create_default_context(cafile=str(tmp_path / AUTHORITY))
    assert type(client) is ssl.SSLContext
    shake_hands(client, server)


def test_contexts_that_are_made_later_are_as_ever(
    tmp_path: Path, server: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    late()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / AUTHORITY))
    client = ssl.create_default_context()
    assert type(client) is ssl.SSLContext
    assert client.cert_store_stats()["x509_ca"] == 1


def test_aiohttp_reads_none_when_it_is_imported(tmp_path: Path) -> None:
    """Both of its contexts, one that trusts authorities and one that trusts everybody."""
    code = (
        "from shuffle_protocol.authorities import read_late\n"
        "with read_late():\n"
        "    import aiohttp\n"
        "from aiohttp import connector as c\n"
        "print(*(type(one).__name__ for one in vars(c).values() if hasattr(one, 'wrap_bio') and hasattr(one, 'options')"
        " and not isinstance(one, type)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["LateContext", "LateContext"]

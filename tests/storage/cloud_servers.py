"""Servers that speak Google's and Azure's protocols, over HTTP on loopback ports. Skipped with a reason where they, or
the packages that speak to them, are not installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BUCKET = "test-bucket"
AZURITE = "AZURITE"
"""The variable that names the program `azurite`; `make test-clouds` sets it."""
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What Azurite's page says for everybody; no secret."""

NOBODY = {
    "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
    "AZURE_STORAGE_ACCOUNT_KEY": KEY,
    "GOOGLE_CLOUD_PROJECT": "test",
}


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def google_server() -> Iterator[str]:
    """Yields its address. The bucket is there, and nothing in it."""
    for package in ("gcsfs", "gcp_storage_emulator"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make test-clouds installs it")
    from gcp_storage_emulator.server import create_server  # type: ignore[import-not-found]

    server = create_server("127.0.0.1", free_port(), in_memory=True, default_bucket=BUCKET)
    server.start()
    try:
        host, port = server._api._httpd.socket.getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def azurite() -> str:
    """The program. Skips where there is none."""
    if importlib.util.find_spec("adlfs") is None:
        pytest.skip("adlfs is not installed: make test-clouds installs it")
    found = os.environ.get(AZURITE) or shutil.which("azurite-blob")
    if not found:
        pytest.skip("azurite-blob is not installed: make test-clouds installs it with npm")
    return found


@contextmanager
def azure_server(folder: Path) -> Iterator[str]:
    """Yields its address, which ends with the account's name. folder: for what it holds."""
    port = free_port()
    command = [azurite(), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--silent"]
    process = subprocess.Popen(
        [*command, "--skipApiVersionCheck"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}/{ACCOUNT}"
    try:
        while not _answers(address):
            assert process.poll() is None, "azurite ended"
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def new_container(address: str) -> str:
    """A container of its own in Azurite."""
    import adlfs  # type: ignore[import-not-found]

    name = f"c{uuid.uuid4().hex}"
    parts = [
        "DefaultEndpointsProtocol=http", f"AccountName={ACCOUNT}", f"AccountKey={KEY}", f"BlobEndpoint={address}"
    ]  # fmt: skip
    adlfs.AzureBlobFileSystem(connection_string=";".join(parts), skip_instance_cache=True).mkdir(name)
    return name


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=10)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True

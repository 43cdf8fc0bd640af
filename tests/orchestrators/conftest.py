"""Run by `make test-orchestrators`, with the real Prefect, Dagster and hera; elsewhere there is nothing to collect."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operator.api_server import ApiServer, reached_from_threads

if any(importlib.util.find_spec(name) is None for name in ("prefect", "dagster", "hera")):
    collect_ignore_glob = ["test_*.py"]

# Prefect's client wants certificates, also for a server on this machine. Neither of the two reports to its maker.
for _name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
    os.environ.pop(_name, None)
os.environ |= {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DAGSTER_DISABLE_TELEMETRY": "yes"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """In a thread of its own, for both run event loops themselves."""
    with reached_from_threads(tmp_path, monkeypatch) as found:
        yield found

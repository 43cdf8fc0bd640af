"""Run by `make test-flyte`, with the real flytekit; elsewhere there is nothing to collect.

An API server on the loopback interface stands for the cluster; the connector talks to it through the real client.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("flytekit") is None:
    collect_ignore_glob = ["test_*.py"]

from tests.operator.api_server import ApiServer, reached_from_threads


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """In a thread of its own, for what is tested here runs event loops itself."""
    with reached_from_threads(tmp_path, monkeypatch) as found:
        yield found

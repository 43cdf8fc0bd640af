"""Run by `make test-airflow`, with the real Airflow; elsewhere there is nothing to collect.

An API server on the loopback interface stands for the cluster; the operator talks to it through the real client.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operator.api_server import ApiServer, reached_from_threads

if importlib.util.find_spec("airflow") is None:
    collect_ignore_glob = ["test_*.py"]


# Airflow looks at these when it is imported: a home of its own, and no examples.
_HOME = tempfile.mkdtemp(prefix="airflow-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {"AIRFLOW_HOME": _HOME, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """In a thread of its own, for what is tested here runs event loops itself."""
    with reached_from_threads(tmp_path, monkeypatch) as found:
        yield found

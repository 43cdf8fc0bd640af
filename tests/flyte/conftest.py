"""Run by `make test-flyte`, with the real flytekit; elsewhere there is nothing to collect.

An API server on the loopback interface stands for the cluster; the connector talks to it through the real client.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("flytekit") is None:
    collect_ignore_glob = ["test_*.py"]

from tests.operator.api_server import ApiServer, serving
from tests.operator.fake_kube import FakeKube


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """In a thread of its own, for a task's local execution runs event loops itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = serving(FakeKube(), tmp_path)
    try:
        found, kubeconfig = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
        import kubernetes.aio.config.kube_config as module

        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setattr(module, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        yield found
        asyncio.run_coroutine_threadsafe(_settle(found), loop).result(10)
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _settle(server: ApiServer) -> None:
    """What a deletion has set off is through."""
    await asyncio.gather(*server.kube.collecting)

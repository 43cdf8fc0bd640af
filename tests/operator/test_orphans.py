"""Workers whose operator never comes back end by themselves, and what a store's outage looks like in a status."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from shuffle_operator.coordinator.events import Started
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.status import snapshot
from shuffle_protocol.connections import ConnectionGate
from shuffle_protocol.messages import VERSION, Counters, Register, Sync
from shuffle_worker.runtime.environment import config_from, listening
from shuffle_worker.runtime.settings import WorkerConfig
from shuffle_worker.worker.process import run_worker
from tests.coordinator.builders import job as message
from tests.operator.test_pod import pod


async def test_a_worker_without_any_coordinator_ends(tmp_path: Path) -> None:
    config = WorkerConfig("http://127.0.0.1:9", "job", "token", 0, "abc", 256 << 20, str(tmp_path / "s"), orphaned=0.5)
    assert await asyncio.wait_for(run_worker(config), 30) == 0  # a disruption, not a failure
    assert not (tmp_path / "s").exists()


def test_a_day_unless_the_operator_says_otherwise(tmp_path: Path) -> None:
    env = {e["name"]: e.get("value") for e in pod()["spec"]["containers"][0]["env"]}
    assert (env["SHUFFLE_ORPHANED"], env["SHUFFLE_STORAGE_RETRY"]) == ("86400", "900")
    (tmp_path / "token").write_text("t")
    given = {
        "SHUFFLE_TOKEN_FILE": str(tmp_path / "token"),
        "SHUFFLE_COORDINATOR": "http://c",
        "SHUFFLE_JOB": "j",
        "SHUFFLE_WORKER": "0",
        "SHUFFLE_INCARNATION": "i",
        "SHUFFLE_MEMORY": "1000",
        "SHUFFLE_SCRATCH": str(tmp_path),
        "SHUFFLE_ADVERTISE": "fd00::7",
        "SHUFFLE_ORPHANED": "120",
    }
    config = config_from(given)
    assert (config.orphaned, config.host) == (120, "::")


@pytest.mark.parametrize(("address", "host"), [("10.0.0.7", "0.0.0.0"), ("fd00::7", "::")])
def test_workers_listen_in_the_family_that_their_peers_are_told_of(address: str, host: str) -> None:
    assert listening(address) == host


async def test_the_operator_listens_in_every_family_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import web

    loop = asyncio.get_running_loop()
    asked: list[str] = []
    create = loop.create_server

    async def without_ipv6(factory: Any, host: Any, *rest: Any, **named: Any) -> Any:
        asked.append(host)
        if host == "::":
            raise OSError(99, "cannot assign requested address")
        return await create(factory, host, *rest, **named)

    monkeypatch.setattr(loop, "create_server", without_ipv6)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    gate = ConnectionGate(runner)
    assert (await gate.open("", 0)).startswith("0.0.0.0:")
    assert asked == ["0.0.0.0", "::"]
    await gate.close()


def test_what_workers_wait_for_is_in_the_message() -> None:
    machine = Coordinator(message())
    machine.handle(Started(), 0.0)
    said = "reading s3://a/b: http://s3 does not answer (tried again for 40 s)"
    for worker in (0, 1):
        machine.register(Register(VERSION, worker, f"i{worker}", "a:1", 1, 1 << 30), 0.0)
    machine.sync(Sync(0, "i0", -1, [], [], [], Counters(), 1, waiting_reason=said), 1.0)
    assert snapshot(machine.state, 1.0).message.endswith(f"; worker 0 waiting: {said}")
    machine.sync(Sync(1, "i1", -1, [], [], [], Counters(), 1, waiting_reason=said), 1.0)
    assert f"; 2 workers waiting: {said}" in snapshot(machine.state, 1.0).message
    for worker in (0, 1):
        machine.sync(Sync(worker, f"i{worker}", -1, [], [], [], Counters(), 1), 2.0)
    assert "waiting" not in snapshot(machine.state, 2.0).message

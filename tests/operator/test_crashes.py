"""The operator dies at every write that it makes in a job's life, before it and after it; the next one ends the job."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from shuffle_operator.kube.api import JOBS, NETWORK_POLICIES, PODS, SECRETS, Object, Resource
from shuffle_operator.launchers.pod import LABEL_WORKER
from shuffle_operator.launchers.pod_state import is_live
from tests.operator.puppets import Puppets
from tests.operator.stage import Stage, sort_job

MOST_WRITES = 40


class Invariants:
    """What must hold at every moment, whoever dies."""

    def __init__(self, stage: Stage) -> None:
        self._kube = stage.kube
        self.epochs: list[int] = []
        self.ended = ""
        stage.kube.listeners.append(self._heard)

    def _heard(self, kind: str, resource: Resource, body: Object) -> None:
        if resource == PODS and kind == "ADDED":
            slots = [
                pod["metadata"]["labels"][LABEL_WORKER]
                for (found, _, _), pod in self._kube.objects.items()
                if found == PODS and is_live(pod)
            ]
            assert len(slots) == len(set(slots)), f"two live pods in one slot: {slots}"
            assert not self.ended, "a pod was started for a finished job"
            assert any(key[0] == NETWORK_POLICIES for key in self._kube.objects), "a pod was started in the open"
        if resource == JOBS and kind != "DELETED":
            status: dict[str, Any] = body.get("status") or {}
            self.epochs.append(int(status.get("epoch", 0)))
            assert self.epochs == sorted(self.epochs), "the epoch fell"
            if self.ended:
                assert status["phase"] == self.ended, "a finished job changed"
            if status.get("phase") in ("Complete", "Failed"):
                self.ended = status["phase"]


def is_over(status: dict[str, Any]) -> bool:
    return status.get("phase") == "Complete" and "cleaningUp" not in status


async def play(stage: Stage, tmp_path: Path, crash_at: int, after: bool) -> int:
    """One job, one crash; returns the writes that it took. crash_at: 0 for none."""
    invariants = Invariants(stage)
    stage.policies = True
    crashed = asyncio.Event()

    def fault(number: int, done: bool) -> None:
        if crashed.is_set() or (number == crash_at and done == after):
            crashed.set()
            raise asyncio.CancelledError  # the dead make no further requests

    await stage.kube.create(JOBS, "data", sort_job(tmp_path / "in", tmp_path / "out"))
    stage.kube.writes.clear()
    stage.kube.fault = fault
    with contextlib.suppress(asyncio.CancelledError):  # it may die before it is ready
        await stage.start(kubelet=False)
    puppets = Puppets(stage.kube, stage.address, stage.secure)
    try:
        for body in stage.pods().values():
            puppets.heard("ADDED", PODS, body)  # those that were created before it listened
        over = lambda: is_over(stage.status()) and not stage.pods()  # noqa: E731
        await stage.until(lambda: crashed.is_set() or over())
        stage.kube.fault = lambda _number, _done: None
        if crashed.is_set():
            await stage.kill()
            await stage.start(kubelet=False)
        await stage.until(over)
        operator = stage.operator
        assert operator is not None
        await stage.until(lambda: not operator.reconciler.active)
        writes = len(stage.kube.writes)
        await asyncio.sleep(0.1)
        assert len(stage.kube.writes) == writes  # and then all is quiet
        assert invariants.ended == "Complete"
        left = [key for key in stage.kube.objects if key[0] == NETWORK_POLICIES or key[:2] == (SECRETS, "data")]
        assert not left, "something is left of a job that is over"
        return writes
    finally:
        await puppets.close()


async def test_without_a_crash_writes_are_few(stage: Stage, tmp_path: Path) -> None:
    writes = await play(stage, tmp_path, 0, False)
    assert writes < MOST_WRITES, stage.kube.writes


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, 25))
async def test_a_crash_at_any_write_is_survived(stage: Stage, tmp_path: Path, write: int, after: bool) -> None:
    await play(stage, tmp_path, write, after)

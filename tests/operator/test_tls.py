"""TLS over an operator's life: restarts, a seed that is lost, TLS that is turned on or off while jobs run."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shuffle_operator.kube.api import SECRETS
from shuffle_operator.launchers.pod import AUTHORITY_DIGEST, Trust, trust_of
from tests.operator.puppets import Puppets
from tests.operator.stage import NAMESPACE, OPERATORS, Stage, sort_job

SEED = (SECRETS, OPERATORS, "shuffle-operator-seed")


@pytest.fixture
async def puppets(stage: Stage) -> AsyncIterator[Puppets]:
    made = Puppets(stage.kube, stage.address, stage.secure)
    made.hold.clear()
    yield made
    await made.close()


async def begun(stage: Stage) -> set[str]:
    """An operator and a job whose two workers are at work; their names."""
    await stage.start(kubelet=False)
    await stage.submit(sort_job(Path("/in"), Path("/out")))
    await until_ready(stage)
    return set(stage.pods())


async def until_ready(stage: Stage) -> None:
    await stage.until(lambda: stage.status().get("workers", {}).get("ready") == 2)


async def taken_up(stage: Stage) -> None:
    """By the operator that is there now. Workers that are held back do not register with it."""
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: operator.reconciler.active)


async def until_complete(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.set()
    await stage.until(lambda: stage.status().get("phase") == "Complete" and not stage.pods() and not secrets(stage))


def secrets(stage: Stage) -> dict[str, dict[str, Any]]:
    """Of jobs."""
    return {key[2]: body["stringData"] for key, body in stage.kube.objects.items() if key[:2] == (SECRETS, NAMESPACE)}


def secure(stage: Stage) -> set[bool]:
    return {AUTHORITY_DIGEST in pod["metadata"]["annotations"] for pod in stage.pods().values()}


async def test_the_next_operator_is_trusted_at_once(stage: Stage, puppets: Puppets) -> None:
    before = await begun(stage)
    held = secrets(stage)
    assert secure(stage) == {True}
    assert [entry.keys() for entry in held.values()] == [{"token", "ca.crt", "tls.crt", "tls.key"}]
    await stage.kill()
    await stage.start(kubelet=False)
    await taken_up(stage)
    assert set(stage.pods()) == before
    assert secrets(stage) == held
    await until_complete(stage, puppets)
    assert len(puppets.started) == 2
    assert stage.status()["workers"]["lost"] == 0


async def test_the_seed_is_the_one_secret_that_is_read(stage: Stage, puppets: Puppets) -> None:
    await begun(stage)
    await stage.kill()
    await stage.start(kubelet=False)
    await until_complete(stage, puppets)
    assert {each for each in stage.kube.read if each[0] == "secrets"} == {("secrets", *SEED[1:])}


async def test_workers_of_a_lost_seed_are_replaced(stage: Stage, puppets: Puppets) -> None:
    before = await begun(stage)
    [(name, held)] = secrets(stage).items()
    await stage.kill()
    del stage.kube.objects[SEED]
    await stage.start(kubelet=False)
    await stage.until(lambda: not before & set(stage.pods()) and len(stage.pods()) == 2)
    [(new, now)] = secrets(stage).items()
    assert new != name
    assert not set(now.values()) & set(held.values())
    told = [b for (kind, _, _), b in stage.kube.objects.items() if b.get("reason") == "AuthorityLost"]
    assert ["2 workers are replaced" in body["message"] and "seed is lost" in body["message"] for body in told] == [
        True
    ]
    await stage.until(lambda: stage.status().get("disruptions") == 2)
    await until_complete(stage, puppets)
    assert len(puppets.started) == 4


@pytest.mark.parametrize("write", range(1, 9))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_while_they_are_replaced(stage: Stage, puppets: Puppets, write: int, after: bool) -> None:
    await begun(stage)
    await stage.kill()
    del stage.kube.objects[SEED]
    stage.kube.writes.clear()
    crashed = asyncio.Event()

    def fault(number: int, done: bool) -> None:
        if crashed.is_set() or (number == write and done == after):
            crashed.set()
            raise asyncio.CancelledError  # the dead make no further requests

    stage.kube.fault = fault
    starting = asyncio.gather(stage.start(kubelet=False), return_exceptions=True)
    await asyncio.wait_for(crashed.wait(), 10)
    await starting
    stage.kube.fault = lambda _number, _done: None
    await stage.kill()
    await stage.start(kubelet=False)
    await until_complete(stage, puppets)
    assert len(puppets.started) == 4


async def test_jobs_that_began_without_tls_end_without_it(stage: Stage, puppets: Puppets) -> None:
    stage.tls = False
    before = await begun(stage)
    assert secure(stage) == {False}
    await stage.kill()
    stage.tls = True
    await stage.start(kubelet=False)
    await taken_up(stage)
    assert set(stage.pods()) == before
    puppets.end(min(before), 0)  # one that comes later is like the others
    await stage.until(lambda: len(puppets.started) == 3)
    assert secure(stage) == {False}
    await until_complete(stage, puppets)
    puppets.hold.clear()
    await stage.submit(sort_job(Path("/in"), Path("/out"), "second"))
    await stage.until(lambda: len(stage.pods()) == 2)
    assert secure(stage) == {True}


async def test_an_operator_without_tls_replaces_workers_with_it(stage: Stage, puppets: Puppets) -> None:
    before = await begun(stage)
    await stage.kill()
    stage.tls = False
    await stage.start(kubelet=False)
    await stage.until(lambda: not before & set(stage.pods()) and len(stage.pods()) == 2)
    assert secure(stage) == {False}
    await stage.until(lambda: "AuthorityLost" in stage.events())
    await until_complete(stage, puppets)


async def test_nothing_secret_is_logged(stage: Stage, puppets: Puppets, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await begun(stage)
    held = [value for entries in secrets(stage).values() for value in entries.values()]
    await stage.kill()
    del stage.kube.objects[SEED]
    await stage.start(kubelet=False)
    await until_complete(stage, puppets)
    seed = base64.b64decode(stage.kube.objects[SEED]["data"]["seed"])
    told = caplog.text + str(stage.job()) + str([b for k, b in stage.kube.objects.items() if k[0] != SECRETS])
    for secret in (seed.hex(), base64.b64encode(seed).decode(), *held, "PRIVATE KEY"):
        assert secret not in told


async def test_a_seed_that_is_none_keeps_the_operator_from_being_ready(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.kube.create(SECRETS, OPERATORS, {"metadata": {"name": SEED[2]}, "data": {"seed": "AAAA"}})
    starting = asyncio.create_task(stage.start(kubelet=False))
    async with asyncio.timeout(30):
        while "delete it" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert stage.operator is not None
    assert not stage.operator.ready.is_set()
    await stage.kube.delete(*SEED)
    await asyncio.wait_for(starting, 10)


@pytest.mark.parametrize(
    ("annotations", "trust"),
    [
        ({"token-sha256": "ab" * 32}, Trust("ab" * 32)),
        ({"token-sha256": "ab" * 32, "authority-sha256": "cd" * 32}, Trust("ab" * 32, "cd" * 32)),
        ({"authority-sha256": "cd" * 32}, None),
        ({"token-sha256": "ab" * 32, "authority-sha256": "x"}, None),
        ({"token-sha256": "AB" * 32}, None),
        ({}, None),
    ],
)
def test_what_a_pod_says_of_itself(annotations: dict[str, str], trust: Trust | None) -> None:
    named = {f"shuffle-operator.dev/{name}": value for name, value in annotations.items()}
    assert trust_of({"metadata": {"annotations": named}}) == trust

"""The operator's parts alone: the queue's promises, what the cache believes, how statuses come to be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from shuffle_operator.api.status import Status
from shuffle_operator.coordinator.events import Started
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.handlers import statuses
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.queue import WorkQueue
from shuffle_operator.handlers.statuses import Outcome
from shuffle_operator.settings import from_environment
from shuffle_protocol.errors import InvalidSpec
from tests.coordinator.builders import job as message

WALL = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def test_passes_over_a_job_never_overlap_and_none_is_lost() -> None:
    running: set[str] = set()
    passes: list[str] = []

    async def work(key: str) -> float | None:
        assert key not in running
        running.add(key)
        passes.append(key)
        await asyncio.sleep(0.02)
        running.discard(key)
        return None

    queue = WorkQueue(work)
    queue.wake("a")
    await asyncio.sleep(0.01)
    queue.wake("a")  # while it runs: once more
    queue.wake("a")
    queue.wake("b")
    await asyncio.sleep(0.15)
    assert sorted(passes) == ["a", "a", "b"]
    assert queue.depth == 0
    assert not queue._entries  # nothing is kept of what is done
    await queue.close()


async def test_a_pass_that_fails_is_tried_again_and_others_go_on() -> None:
    tries: dict[str, int] = {}

    async def work(key: str) -> float | None:
        tries[key] = tries.get(key, 0) + 1
        if key == "bad" and tries[key] == 1:
            raise RuntimeError("once")
        return None

    queue = WorkQueue(work)
    queue.wake("bad")
    queue.wake("good")
    await asyncio.sleep(0.1)
    assert tries == {"bad": 1, "good": 1}
    await asyncio.sleep(0.8)
    assert tries["bad"] == 2
    await queue.close()


def body(uid: str, version: int, **rest: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": uid, "namespace": "n", "resourceVersion": str(version)}, **rest}


def test_what_is_older_than_what_is_known_is_not_believed() -> None:
    cache = Cache(lambda _: None)
    cache.put_job(body("a", 9, status={"phase": "Complete"}))
    cache.put_job(body("a", 10 - 2, status={"phase": "Writing"}))
    known = cache.job("a")
    assert known is not None
    assert known["status"]["phase"] == "Complete"


def test_a_listing_ends_what_it_does_not_have_but_not_what_is_younger() -> None:
    now = [0.0]
    changed: list[str] = []
    cache = Cache(changed.append, lambda: now[0])
    cache.replace([body("old", 1)], [])
    assert cache.loaded
    now[0] = 100.0
    cache.put_job(body("new", 2))
    changed.clear()
    cache.replace([], [])
    assert cache.jobs() == ["new"]
    assert changed == ["old"]


def test_a_status_is_one_that_the_definition_takes_and_says_the_same_twice() -> None:
    machine = Coordinator(message())
    machine.handle(Started(), 0.0)
    first = statuses.running(machine.state, 5.0, WALL, {}, None, "image cannot be pulled")
    resource = {"metadata": {"generation": 2}, "status": {}}
    whole = statuses.with_conditions(first, resource, None, WALL)

    assert Status.model_validate(whole, by_alias=True).observed_generation == 2
    assert whole["message"].endswith("image cannot be pulled")
    again = statuses.running(machine.state, 6.0, WALL, whole, None, "image cannot be pulled")
    later = datetime(2026, 1, 1, 13, tzinfo=UTC)
    same = statuses.with_conditions(again, {**resource, "status": whole}, None, later)
    assert statuses.patch_of(whole, same) == {}


def test_a_condition_moves_only_when_it_flips() -> None:
    resource: dict[str, Any] = {"metadata": {"generation": 1}, "status": {}}
    first = statuses.with_conditions({"phase": "Writing"}, resource, None, WALL)
    later = datetime(2026, 1, 1, 13, tzinfo=UTC)
    resource["status"] = first
    done = Outcome(True, "Completed", "all of it")
    second = statuses.with_conditions(statuses.ended(first, done, later), resource, done, later)
    times = {c["type"]: c["lastTransitionTime"] for c in second["conditions"]}
    assert times["Suspended"] == "2026-01-01T12:00:00Z"
    assert times["Finished"] == times["Complete"] == times["Progressing"] == "2026-01-01T13:00:00Z"
    assert "Failed" not in times


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": None}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ],
)
def test_only_what_changed_is_written(old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]) -> None:
    assert statuses.patch_of(old, new) == patch


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59.6, "1m00s"), (192, "3m12s"), (7500, "2h05m")])
def test_durations_for_people(seconds: float, text: str) -> None:
    assert statuses.readable_duration(seconds) == text


def test_the_operators_settings_are_named_when_they_are_wrong() -> None:
    good = {"SHUFFLE_WORKER_IMAGE": "w:1", "SHUFFLE_ADDRESS": "http://op:8080/", "SHUFFLE_NAMESPACES": "a, b"}
    settings = from_environment(good)
    assert (settings.address, settings.namespaces) == ("http://op:8080", ["a", "b"])
    for name, value in (("SHUFFLE_ADDRESS", "op:8080"), ("SHUFFLE_PORT", "x"), ("SHUFFLE_DEFAULT_SCRATCH", "lots")):
        with pytest.raises(InvalidSpec, match=name):
            from_environment({**good, name: value})
    with pytest.raises(InvalidSpec, match="SHUFFLE_WORKER_IMAGE"):
        from_environment({**good, "SHUFFLE_WORKER_IMAGE": ""})


def test_the_operator_has_no_use_for_arrow() -> None:
    """Which would take half of the memory that it idles with."""
    code = (
        "import sys, shuffle_operator.operator\n"
        "from shuffle_operator.api.validation import check_job\n"
        "from shuffle_operator.handlers.active import message_of\n"
        "inputs = [{'path': 's3://a/b/', 'filter': 'a > 1'}]\n"
        "spec = {'operation': {'sort': {'by': [{'column': 'a'}]}}, 'inputs': inputs, 'output': {'path': 's3://a/c/'}}\n"
        "job = {'kind': 'ShuffleJob', 'metadata': {'name': 'x'}, 'spec': spec}\n"
        "job['apiVersion'] = 'shuffle-operator.dev/v1alpha1'\n"
        "message_of(check_job(job), 'uid')\n"
        "print([name for name in ('pyarrow', 'numpy', 'pandas', 'fsspec') if name in sys.modules])\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"

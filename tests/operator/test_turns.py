"""Jobs that have to wait for each other: for a quota of their namespace, or for the operator's own limit."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.handlers.admission import AGAIN, Admission
from shuffle_operator.kube.api import JOBS, PODS, SECRETS, KubeError
from shuffle_operator.launchers.quota_queue import QuotaQueue, exceeded, too_large
from tests.operator.puppets import Puppets
from tests.operator.quota import Quota
from tests.operator.small_jobs import job, until_phase
from tests.operator.stage import NAMESPACE, Stage

FEW = 'pods "a-w-0-0" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2'


@pytest.fixture
async def full() -> AsyncIterator[tuple[Stage, Puppets, Quota]]:
    """An operator in a namespace with room for two pods."""
    kube = Quota(2)
    stage = Stage(kube, Settings(silence=5.0, patience=1.0, poll=2.0))
    await stage.start(kubelet=False)
    puppets = Puppets(kube, stage.address, stage.secure)
    try:
        yield stage, puppets, kube
    finally:
        await puppets.close()
        await stage.close()


async def submitted(stage: Stage, count: int, **spec: Any) -> list[str]:
    """Jobs whose age is told apart by a second each."""
    names = [f"job-{number:02}" for number in range(count)]
    for number, name in enumerate(names):
        body = await stage.submit(job(name, **spec))
        stage.kube.objects[JOBS, NAMESPACE, name]["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{number:02}Z"
        stage.kube.put((JOBS, NAMESPACE, name), stage.kube.objects[JOBS, NAMESPACE, name], "MODIFIED")
        assert body
    return names


async def test_jobs_wait_for_a_quota_without_failing(full: tuple[Stage, Puppets, Quota]) -> None:
    """And have no time that runs: neither their start time nor a deadline."""
    stage, puppets, kube = full
    puppets.hold.clear()
    names = await submitted(stage, 4, startupDeadlineSeconds=2, activeDeadlineSeconds=600)
    await stage.until(lambda: all("few" in str(stage.status(n).get("message")) for n in names[1:]))
    await asyncio.sleep(4.0)  # longer than their time to start
    assert len(kube.made) == 2
    for name in names[1:]:
        status = stage.status(name)
        assert status["phase"] == "Pending"
        assert "startTime" not in status
    assert "exceeded quota: few" in stage.status(names[1])["message"]
    assert kube.refused < 12  # all of them together, in these seconds
    puppets.hold.set()
    for name in names:
        await until_phase(stage, "Complete", name)
        assert stage.status(name)["startTime"]
    first = list(dict.fromkeys(name.rpartition("-w-")[0] for name in kube.made))
    assert first == names  # oldest first


async def test_those_that_wait_have_nothing_in_the_cluster(full: tuple[Stage, Puppets, Quota]) -> None:
    stage, puppets, kube = full
    puppets.hold.clear()
    names = await submitted(stage, 2)
    await stage.until(lambda: "few" in str(stage.status(names[1]).get("message")))
    later = await stage.submit(job("later"))
    await stage.until(lambda: stage.status("later").get("phase") == "Pending")
    assert stage.status("later")["message"] == (
        "Pending: waiting for its turn: older jobs wait for room in the quota few as well"
    )
    assert "epoch" not in stage.status("later")
    assert not [key for key in kube.objects if key[0] == SECRETS and key[2].startswith("later")]
    assert later
    await stage.kube.delete(JOBS, NAMESPACE, names[1])
    puppets.hold.set()
    await until_phase(stage, "Complete", "later")


@pytest.mark.parametrize("way", ["delete", "suspend", "elsewhere"])
async def test_who_waits_and_goes_stands_in_nobodys_way(full: tuple[Stage, Puppets, Quota], way: str) -> None:
    stage, puppets, _ = full
    puppets.hold.clear()
    names = await submitted(stage, 4)
    await stage.until(lambda: all("few" in str(stage.status(n).get("message")) for n in names[1:]))
    for name in names[1:3]:
        if way == "delete":
            await stage.kube.delete(JOBS, NAMESPACE, name)
        else:
            spec = {"suspend": True} if way == "suspend" else {"managedBy": "someone.else/x"}
            await stage.kube.patch(JOBS, NAMESPACE, name, {"spec": spec})
    await asyncio.sleep(0.2)
    puppets.hold.set()
    await until_phase(stage, "Complete", names[0])
    if way != "elsewhere":  # one that was begun stays with this operator
        await until_phase(stage, "Complete", names[3])


async def test_a_job_with_some_of_its_pods_works_with_them(full: tuple[Stage, Puppets, Quota]) -> None:
    stage, _, kube = full
    await stage.submit(job(workers={"replicas": 3}))
    await until_phase(stage, "Complete")
    assert stage.status()["startTime"]
    assert kube.made[:2] == ["sorted-w-0-0", "sorted-w-1-0"]


async def test_a_pod_that_is_larger_than_the_quota_fails(full: tuple[Stage, Puppets, Quota]) -> None:
    stage, _, kube = full
    kube.pods = 0
    said = "exceeded quota: small, requested: limits.memory=512Mi, used: limits.memory=0, limited: limits.memory=256Mi"
    kube.refusals["create", PODS] = KubeError(403, "Forbidden", f"pods is forbidden: {said}")
    kube.pods = 10
    await stage.submit(job(startupDeadlineSeconds=2))
    await until_phase(stage, "Failed")
    message = stage.status()["message"]
    assert message.startswith("StartupDeadlineExceeded")
    assert "asks for more than the quota holds" in message
    assert "startTime" not in stage.status()


async def test_only_so_many_jobs_run_at_once_and_the_oldest_first(full: tuple[Stage, Puppets, Quota]) -> None:
    stage, puppets, kube = full
    kube.pods = 100
    operator = stage.operator
    assert operator is not None
    operator.reconciler.world.most_jobs = 2
    puppets.hold.clear()
    names = await submitted(stage, 5)
    await stage.until(lambda: all("maxRunningJobs" in str(stage.status(n).get("message")) for n in names[2:]))
    assert "startTime" not in stage.status(names[4])
    assert len(operator.reconciler.active) == 2
    await stage.kube.delete(JOBS, NAMESPACE, names[2])  # who waits may go
    puppets.hold.set()
    for name in (names[0], names[1], names[3], names[4]):
        await until_phase(stage, "Complete", name)
    first = list(dict.fromkeys(name.rpartition("-w-")[0] for name in kube.made))
    assert first[2:] == names[3:]


async def test_jobs_that_were_begun_are_taken_up_whatever_the_limit(full: tuple[Stage, Puppets, Quota]) -> None:
    stage, puppets, kube = full
    kube.pods = 100
    puppets.hold.clear()
    names = await submitted(stage, 3)
    await stage.until(lambda: all(stage.status(n).get("workers", {}).get("ready") == 2 for n in names))
    await stage.kill()
    stage.most_jobs = 1
    await stage.start(kubelet=False)
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: len(operator.reconciler.active) == 3)
    puppets.hold.set()
    for name in names:
        await until_phase(stage, "Complete", name)


@pytest.mark.parametrize("way", ["delete", "finalizer", "suspend", "elsewhere", "refused", "answer lost"])
async def test_who_is_being_begun_and_goes_makes_room_for_the_next(
    full: tuple[Stage, Puppets, Quota], way: str
) -> None:
    """Whatever ends it, the one behind it is woken at once, and does not wait until it looks again by itself."""
    stage, _, kube = full
    operator = stage.operator
    assert operator is not None
    operator.reconciler.world.most_jobs = 1
    kube.refusals["create", SECRETS] = KubeError(403, "Forbidden", "exceeded quota: few-secrets")
    first, second = await submitted(stage, 2)
    await stage.until(lambda: "few-secrets" in str(stage.status(first).get("message")))
    await stage.until(lambda: "maxRunningJobs" in str(stage.status(second).get("message")))

    def lose(_: int, done: bool) -> None:
        if done and stage.status(first).get("phase") == "Failed":
            kube.fault = lambda *_: None
            raise KubeError(0, "Unreachable", "the API server does not answer: the answer was lost")

    if way == "delete":
        await kube.delete(JOBS, NAMESPACE, first)
    elif way == "finalizer":
        body = copy.deepcopy(stage.job(first))
        body["metadata"] |= {"deletionTimestamp": "2026-01-01T01:00:00Z", "finalizers": ["example.com/slow"]}
        kube.put((JOBS, NAMESPACE, first), body, "MODIFIED")
    elif way in ("suspend", "elsewhere"):
        spec = {"suspend": True} if way == "suspend" else {"managedBy": "someone.else/x"}
        await kube.patch(JOBS, NAMESPACE, first, {"spec": spec})
    else:
        if way == "answer lost":
            kube.fault = lose
        await kube.patch(JOBS, NAMESPACE, first, {"spec": {"startupDeadlineSeconds": 1}})
    await stage.until(lambda: "few-secrets" in str(stage.status(second).get("message")), within=AGAIN / 2)


# -- what Kubernetes says --------------------------------------------------------------------------------------------


def quota(requested: str, limited: str) -> str:
    return f"forbidden: exceeded quota: q, requested: {requested}, used: {limited}, limited: {limited}"


@pytest.mark.parametrize(
    ("message", "name", "large"),
    [
        (FEW, "few", False),
        ("pods is forbidden: exceeded quota: small", "small", False),
        (quota("limits.memory=1Gi", "limits.memory=1Gi"), "q", False),
        (quota("limits.memory=2Gi", "limits.memory=1Gi"), "", True),
        (quota("cpu=500m", "cpu=1"), "q", False),
        (quota("cpu=1500m", "cpu=1"), "", True),
        (quota("cpu=1,memory=3G", "cpu=2,memory=2G"), "", True),
        (quota("cpu=3k", "cpu=2000"), "", True),
        (quota("cpu=0,memory=1Gi", "cpu=1,memory=2Ei"), "q", False),
        (quota("memory=2Ei", "memory=1E"), "", True),
        ("forbidden: failed quota: q: must specify limits.cpu", "", False),
        ("forbidden: maximum memory usage per Container is 1Gi, but limit is 4Gi", "", False),
        ("admission webhook denied the request", "", False),
    ],
)
def test_which_refusals_are_worth_waiting_for(message: str, name: str, large: bool) -> None:
    assert exceeded(message) == name
    assert too_large(message) == large


def test_the_line_wakes_the_next_and_forgets_namespaces_with_room() -> None:
    woken: list[str] = []
    now = [0.0]
    line = QuotaQueue(woken.append, lambda: now[0])
    places = [
        line.place({"metadata": {"name": n, "namespace": "a", "uid": n, "creationTimestamp": f"2026-01-0{day}"}})
        for day, n in ((1, "old"), (2, "young"))
    ]
    assert [place.turn() for place in places] == [0.0, 0.0]
    places[1].refused("few")  # the younger one was first to ask
    assert places[1].turn() is not None
    assert places[0].turn() is not None  # from here on the older one is first
    assert places[1].turn() is None
    now[0] = 100.0
    assert places[0].turn() == 0.0
    places[0].refused("few")
    wait = places[0].turn()
    assert wait is not None
    assert wait > 0
    places[0].leave()
    assert woken == ["young"]
    places[1].leave()
    assert places[0].turn() == 0.0
    assert not places[0].crowded


# -- who may begin ---------------------------------------------------------------------------------------------------


class Turns:
    """Jobs and their limit, on a clock that a test moves. woken: uids, as they were woken."""

    def __init__(self, most: int) -> None:
        self.now = 0.0
        self.woken: list[str] = []
        self.line = QuotaQueue(self.woken.append, lambda: self.now)
        self.active: dict[str, Any] = {}
        self.under_way: dict[str, Any] = {}
        world: Any = SimpleNamespace(line=self.line, most_jobs=most, wake=self.woken.append)
        self.admission = Admission(world, self.active, self.under_way)

    @staticmethod
    def body(name: str, namespace: str, age: int) -> dict[str, Any]:
        created = f"2026-01-01T00:00:{age:02}Z"
        return {"metadata": {"name": name, "uid": name, "namespace": namespace, "creationTimestamp": created}}

    def ask(self, name: str, namespace: str, age: int) -> str:
        """What keeps it: "limit", "quota", or nothing."""
        why, _ = self.admission.obstacle(self.body(name, namespace, age))
        return "limit" if "maxRunningJobs" in why else "quota" if "quota" in why else why


def test_a_job_that_its_quota_holds_back_keeps_no_other_namespace_waiting() -> None:
    turns = Turns(most=2)
    turns.active["a1"] = object()
    turns.line.place(turns.body("a1", "a", 1)).refused("few")
    assert turns.ask("a2", "a", 2) == "quota"
    assert turns.ask("b1", "b", 3) == ""
    turns.active["b1"] = object()
    assert turns.ask("b2", "b", 4) == "limit"
    assert turns.ask("a3", "a", 5) == "limit", "the limit comes first"
    turns.woken.clear()
    turns.active.pop("b1")
    turns.admission.freed()
    assert turns.woken == ["b2"], "who waits for a quota is not the one to be woken"


def test_who_finds_itself_held_back_by_a_quota_wakes_those_behind() -> None:
    turns = Turns(most=2)
    turns.active |= {"a1": object(), "b1": object()}
    turns.line.place(turns.body("a1", "a", 1)).refused("few")
    assert (turns.ask("a2", "a", 2), turns.ask("b2", "b", 3)) == ("limit", "limit")
    turns.active.pop("b1")
    turns.admission.freed()
    assert turns.woken == ["a2"]
    assert turns.ask("a2", "a", 2) == "quota"
    assert turns.woken[1:] == ["b2"]
    assert turns.ask("b2", "b", 3) == ""


def test_a_job_that_the_limit_holds_back_is_before_nobody_in_its_line() -> None:
    turns = Turns(most=2)
    turns.active["y"] = object()
    y = turns.line.place(turns.body("y", "a", 5))
    y.refused("few")
    turns.admission.obstacle(turns.body("x", "a", 2))  # it stands in line, and is older than y
    assert y.turn() is None
    turns.active["z"] = object()
    turns.woken.clear()
    assert turns.ask("x", "a", 2) == "limit"
    assert turns.woken == ["y"]
    turns.now = 100.0
    assert y.turn() == 0.0


@pytest.mark.parametrize("waiting", [True, False])
def test_who_was_begun_and_goes_wakes_those_that_wait(waiting: bool) -> None:
    turns = Turns(most=1)
    turns.under_way["x"] = object()
    assert turns.ask("y", "a", 5) == "limit"
    if not waiting:
        turns.admission.forget("y")
    turns.woken.clear()
    turns.under_way.pop("x")
    turns.admission.forget("x")
    assert turns.woken == (["y"] if waiting else [])

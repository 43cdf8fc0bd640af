"""What is in the way of a job, or goes wrong inside of the operator: said in the status, and never for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shuffle_operator.api.schema import UNSEEN
from shuffle_operator.coordinator import waits
from shuffle_operator.coordinator.events import Event, Restored, Started, Tick
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.handlers import beginning, cleaning, giving_up, reconcile, statuses
from shuffle_operator.kube.api import EVENTS, JOBS, NETWORK_POLICIES, PODS, SECRETS, KubeError
from shuffle_operator.launchers import kubernetes
from shuffle_protocol.messages import LeaseKind
from tests.operator.puppets import Puppets
from tests.operator.small_jobs import job, patch, until_phase, until_ready
from tests.operator.stage import NAMESPACE, Stage

QUOTA = KubeError(403, "Forbidden", 'secrets "sorted-token" is forbidden: exceeded quota: few-secrets')
WEBHOOK = KubeError(500, "InternalError", 'failed calling webhook "policy.example.com": connection refused')


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods whose workers nobody tells that the job is over are deleted soon, so that no test waits for that."""
    monkeypatch.setattr(kubernetes, "EXIT_PATIENCE", 1.0)
    monkeypatch.setattr(cleaning, "EXIT_PATIENCE", 1.0)


def message(stage: Stage, name: str = "sorted") -> str:
    return str(stage.status(name).get("message"))


def secrets_of_jobs(stage: Stage) -> list[str]:
    return [name for kind, namespace, name in stage.kube.objects if (kind, namespace) == (SECRETS, NAMESPACE)]


# -- before the machine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [QUOTA, WEBHOOK], ids=["quota", "webhook"])
async def test_a_secret_that_cannot_be_created_has_a_deadline(
    stage: Stage, puppets: Puppets, refusal: KubeError
) -> None:
    stage.kube.refusals["create", SECRETS] = refusal
    await stage.submit(job(startupDeadlineSeconds=2))
    await stage.until(lambda: refusal.message in message(stage))
    assert message(stage).startswith("Pending: the Secret with the job's token cannot be created: ")
    await stage.until(lambda: "CannotStart" in stage.events())
    await until_phase(stage, "Failed")
    assert message(stage).startswith("StartupDeadlineExceeded: ")
    assert refusal.message in message(stage)
    assert stage.status()["epoch"] == 0  # however often it was tried
    assert stage.kube.requests["create", "secrets"] < 12


async def test_time_in_which_nothing_answers_is_not_time_to_start(stage: Stage, puppets: Puppets) -> None:
    """And the request that was not answered has the lists read soon, as any other."""
    gone = KubeError(504, "Timeout", "the server was unable to return a response in the time allotted")
    stage.kube.refusals["create", SECRETS] = gone
    await stage.submit(job(startupDeadlineSeconds=3))
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: operator.watch.trouble == gone.message)
    began = operator.reconciler.world.clock()
    await stage.until(lambda: operator.reconciler.world.clock() - began > 3.5)
    stage.kube.refusals["create", SECRETS] = WEBHOOK
    await stage.until(lambda: "failed calling webhook" in message(stage))
    assert stage.status()["phase"] == "Pending"
    del stage.kube.refusals["create", SECRETS]
    await until_phase(stage, "Complete")


async def test_a_secret_that_can_be_created_at_last_lets_the_job_run(stage: Stage, puppets: Puppets) -> None:
    stage.kube.refusals["create", SECRETS] = WEBHOOK
    await stage.submit(job())
    await stage.until(lambda: "failed calling webhook" in message(stage))
    del stage.kube.refusals["create", SECRETS]
    await until_phase(stage, "Complete")


async def test_a_job_that_is_hindered_can_be_suspended_and_deleted(stage: Stage, puppets: Puppets) -> None:
    stage.kube.refusals["create", SECRETS] = QUOTA
    await stage.submit(job())
    await stage.until(lambda: "exceeded quota" in message(stage))
    await patch(stage, suspend=True)
    await stage.until(lambda: stage.status().get("phase") == "Suspended", within=10)
    await patch(stage, suspend=False)
    await stage.until(lambda: "exceeded quota" in message(stage))
    await stage.kube.delete(JOBS, NAMESPACE, "sorted")
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: not operator.reconciler.beginner.under_way)


async def test_starting_a_job_that_raises_ends_as_internal(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: Any, **__: Any) -> Any:
        raise KeyError("a field")

    monkeypatch.setattr(beginning, "checked", raises)
    await stage.submit(job())
    await until_phase(stage, "Failed")
    assert message(stage).startswith("Internal: starting the job failed 5 times (KeyError: 'a field')")


# -- a machine that is of no use -------------------------------------------------------------------------------------


async def test_a_machine_that_raises_is_given_up_and_its_output_removed(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    handle = Coordinator.handle

    def raises(machine: Coordinator, event: Event, now: float) -> Any:
        if machine.state.generation == 0 and isinstance(event, Tick):
            raise ZeroDivisionError("in the first one")
        return handle(machine, event, now)

    monkeypatch.setattr(Coordinator, "handle", raises)
    await stage.until(lambda: "Internal" in message(stage))
    puppets.hold.set()
    await until_phase(stage, "Failed")
    assert message(stage).startswith("Internal: its coordinator failed 5 times (ZeroDivisionError: in the first one)")
    assert LeaseKind.ABORT in puppets.carried_out
    assert not any(pod["status"]["phase"] == "Running" for pod in stage.pods().values())
    assert not secrets_of_jobs(stage)
    await stage.until(lambda: "Internal" in stage.events())


async def test_a_machine_that_is_replaced_keeps_what_was_accepted_and_counted(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    puppets.hold.clear()
    body = await stage.submit(job())
    await until_ready(stage)
    operator = stage.operator
    assert operator is not None
    first = operator.reconciler.active[body["metadata"]["uid"]]
    first.state.losses.failures += 3
    await patch(stage, output={"path": "/elsewhere", "partitions": 9})
    await stage.until(lambda: "acceptedSpec" in stage.status())
    handle = Coordinator.handle

    def raises(machine: Coordinator, event: Event, now: float) -> Any:
        if machine.state.generation == 0 and isinstance(event, Tick):
            raise ZeroDivisionError("in the first one")
        return handle(machine, event, now)

    monkeypatch.setattr(Coordinator, "handle", raises)
    await stage.until(lambda: first not in operator.reconciler.active.values())
    (second,) = operator.reconciler.active.values()
    assert second.spec["output"]["path"] == "/out"
    assert 'shuffle_workers_lost_total{kind="failure"} 3.0\n' in operator.metrics.page().decode()
    puppets.hold.set()
    await until_phase(stage, "Failed")
    assert "acceptedSpec" in stage.status(), "another operator has to go by it too"
    assert 'shuffle_workers_lost_total{kind="failure"} 3.0\n' in operator.metrics.page().decode()


@pytest.mark.parametrize("method", ["handle", "sync", "register"])
async def test_a_machine_whose_successor_raises_too_is_ended_without_one(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    if method != "register":
        puppets.hold.clear()

    handle = Coordinator.handle

    def raises(*given: Any) -> Any:
        if any(isinstance(each, Started | Restored) for each in given):
            return handle(*given)  # it begins
        raise ZeroDivisionError("always")

    if method == "handle":
        await stage.submit(job())
        await until_ready(stage)
        monkeypatch.setattr(Coordinator, method, raises)
    else:
        monkeypatch.setattr(Coordinator, method, raises)
        await stage.submit(job(startupDeadlineSeconds=60))
        puppets.hold.set()
    await until_phase(stage, "Failed")
    assert message(stage).startswith("Internal: its coordinator failed 5 times (ZeroDivisionError: always)")
    assert not any(pod["status"]["phase"] == "Running" for pod in stage.pods().values())
    assert not secrets_of_jobs(stage)
    operator = stage.operator
    assert operator is not None
    assert not operator.reconciler.active


async def test_a_status_that_cannot_be_made_does_not_keep_a_job_for_ever(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: Any, **__: Any) -> Any:
        raise ValueError("no status")

    monkeypatch.setattr(statuses, "running", raises)
    await stage.submit(job())
    await until_phase(stage, "Failed")
    assert "ValueError: no status" in message(stage)


async def test_what_is_complete_stays_that_whatever_is_wrong_with_saying_so(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = statuses.running

    def raises(state: JobState, *rest: Any, **named: Any) -> Any:
        if state.over:
            raise ValueError("no status")
        return made(state, *rest, **named)

    monkeypatch.setattr(statuses, "running", raises)
    await stage.submit(job())
    await until_phase(stage, "Complete")
    await stage.until(lambda: not secrets_of_jobs(stage))


async def test_one_exception_is_survived(stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch) -> None:
    handle, raised = Coordinator.handle, []

    def raises(machine: Coordinator, event: Event, now: float) -> Any:
        if len(raised) < 2 and isinstance(event, Tick):
            raised.append(now)
            raise ZeroDivisionError("now and then")
        return handle(machine, event, now)

    monkeypatch.setattr(Coordinator, "handle", raises)
    await stage.submit(job())
    await until_phase(stage, "Complete")


async def test_a_deadline_holds_where_the_machine_does_not_keep_it(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    puppets.hold.clear()
    await stage.submit(job(activeDeadlineSeconds=1))
    await until_ready(stage)
    monkeypatch.setattr(Coordinator, "handle", lambda *_: [])
    monkeypatch.setattr(giving_up, "OVERDUE", -70.0)
    puppets.hold.clear()
    await until_phase(stage, "Failed")
    assert message(stage).startswith("DeadlineExceeded: the job took longer than its activeDeadlineSeconds, 1 s")
    assert "may be left in /out" in message(stage)


# -- the store -------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_away_is_an_event_and_its_return_another(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "CALM", 1.5)
    said = "reading s3://a/b: http://s3:9000 does not answer"
    puppets.waiting_reason = said
    await stage.submit(job())
    await stage.until(lambda: f"waiting: {said}" in message(stage))
    await stage.until(lambda: "WaitingForStorage" in stage.events())
    puppets.waiting_reason = f"{said} (tried again for 10 s)"
    await stage.until(lambda: "(tried again for 10 s)" in message(stage))
    puppets.waiting_reason = ""
    puppets.hold.clear()
    await stage.until(lambda: "waiting" not in message(stage))
    await stage.until(lambda: "StorageAnswers" in stage.events())
    puppets.hold.set()
    await until_phase(stage, "Complete")
    await stage.until(lambda: "Completed" in stage.events())
    events = [body for (kind, _, _), body in stage.kube.objects.items() if kind == EVENTS]
    found = [body for body in events if body["reason"] in ("WaitingForStorage", "StorageAnswers")]
    assert [(body["type"], body["reason"]) for body in found] == [
        ("Warning", "WaitingForStorage"),
        ("Normal", "StorageAnswers"),
    ]
    assert said in found[0]["message"]


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["suspend", "delete", "fail"])
async def test_a_job_ends_at_once_just_after_its_pods_were_created(stage: Stage, puppets: Puppets, way: str) -> None:
    """The watch has not shown them yet, or only just."""
    puppets.hold.clear()
    made: list[str] = []
    stage.kube.listeners.append(lambda kind, resource, _: made.append(kind) if resource == PODS else None)
    await stage.submit(job())
    await stage.until(lambda: made.count("ADDED") == 2)
    if way == "suspend":
        await patch(stage, suspend=True)
    elif way == "delete":
        await stage.kube.delete(JOBS, NAMESPACE, "sorted")
    else:
        await patch(stage, activeDeadlineSeconds=1)
    puppets.hold.set()
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: not operator.reconciler.active, within=15)
    await stage.until(lambda: not [p for p in stage.pods().values() if p["status"]["phase"] == "Running"])


async def test_pods_that_the_watch_does_not_show_go_with_the_job(stage: Stage, puppets: Puppets) -> None:
    """They stay Pending, and no event of them comes: what the API server answered is enough."""
    stage.kube.listeners.remove(puppets.heard)
    deaf = [each for each in stage.kube.listeners if getattr(each, "__self__", None) is stage.watch()]

    def only_jobs(kind: str, resource: Any, body: Any) -> None:
        if resource == JOBS:
            deaf[0](kind, resource, body)

    stage.kube.listeners.insert(0, only_jobs)
    stage.kube.listeners.remove(deaf[0])
    await stage.submit(job())
    await stage.until(lambda: len(stage.pods()) == 2)
    await patch(stage, suspend=True)
    await stage.until(lambda: not stage.pods(), within=10)
    stage.kube.listeners.append(deaf[0])  # as it was, for the end of the test


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
async def test_a_crash_right_after_complete_leaks_nothing(stage: Stage, puppets: Puppets, tls: bool) -> None:
    stage.tls = stage.policies = tls
    await stage.kill()
    operator = await stage.start(kubelet=False)
    dead = asyncio.Event()

    def fault(_number: int, done: bool) -> None:
        if dead.is_set() or (done and stage.status().get("phase") == "Complete"):
            dead.set()
            raise asyncio.CancelledError

    stage.kube.fault = fault
    await stage.submit(job())
    await stage.until(dead.is_set)
    stage.kube.fault = lambda _number, _done: None
    await stage.kill()
    assert secrets_of_jobs(stage)
    stage.tls = True
    operator = await stage.start(kubelet=False)
    await stage.until(lambda: not secrets_of_jobs(stage) and not stage.pods())
    await stage.until(lambda: not [key for key in stage.kube.objects if key[0] == NETWORK_POLICIES])
    await stage.until(lambda: "cleaningUp" not in stage.status())
    assert stage.status()["workers"]["ready"] == 0
    await stage.until(lambda: operator.queue.depth == 0)
    quiet = len(stage.kube.writes)
    await asyncio.sleep(1.2)
    assert len(stage.kube.writes) == quiet


NO = KubeError(403, "Forbidden", "is forbidden: cannot delete resource")


@pytest.mark.parametrize("resource", [SECRETS, PODS], ids=["secrets", "pods"])
async def test_what_cannot_be_deleted_keeps_no_job_from_its_end(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch, resource: Any
) -> None:
    monkeypatch.setattr(reconcile, "STOP_WITHIN", 2.0)
    monkeypatch.setattr(kubernetes, "EXIT_PATIENCE", 0.1)
    puppets.hold.clear()
    await stage.submit(job(activeDeadlineSeconds=1))
    await until_ready(stage)
    stage.kube.refusals["delete", resource] = NO
    puppets.hold.set()
    await stage.until(lambda: stage.status().get("phase") in ("Failed", "Complete"))
    await stage.until(lambda: {"SecretStays", "PodsStay"} & set(stage.events()))
    del stage.kube.refusals["delete", resource]


# -- what is slow ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"phase": "Pending"}, "is not scheduled yet; kubectl describe pod sorted-w-0-0 says why"),
        (
            {
                "phase": "Pending",
                "containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": "ContainerCreating"}}}],
            },
            "is being created and waits for its image, or a volume, ConfigMap or Secret that is missing",
        ),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
            "kubectl describe pod sorted-w-0-0 says which",
        ),
        (
            {"phase": "Running", "containerStatuses": [{"name": "worker", "state": {"running": {}}}]},
            "its worker has not reported yet",
        ),
    ],
)
async def test_a_pod_that_takes_long_has_a_reason_in_the_message(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(kubernetes, "SLOW", 0.2)
    stage.kube.listeners.remove(puppets.heard)
    await stage.submit(job(startupDeadlineSeconds=4, workers={"replicas": 1}))
    await stage.until(stage.pods)
    stage.kube.set_pod_status(NAMESPACE, "sorted-w-0-0", **status)
    await stage.until(lambda: said in message(stage))
    assert message(stage).startswith("Pending: 0 of 1 workers ready: pod sorted-w-0-0")
    await stage.until(lambda: "StartupDeadlineExceeded" in message(stage))
    assert said in message(stage)


async def test_what_the_api_server_fills_in_is_written_over_whole(stage: Stage, puppets: Puppets) -> None:
    """It is in no store, so a patch of what differs from it would lack the phase."""
    body = job()
    body["status"] = dict(UNSEEN)
    puppets.hold.clear()
    await stage.submit(body)
    stage.kube.objects[JOBS, NAMESPACE, "sorted"]["status"] = {}
    await until_ready(stage)
    assert stage.status()["phase"] in ("Pending", "Planning")
    puppets.hold.set()
    await until_phase(stage, "Complete")

"""What a job's spec and the world ask for, with workers that do their work in no time: each policy once, end to end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from shuffle_operator.api.restrictions import Restrictions
from shuffle_operator.coordinator.events import Event, Tick
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.rebuild import EPOCHS
from shuffle_operator.handlers import policies
from shuffle_operator.handlers.rbac import ROLE
from shuffle_operator.kube.api import JOBS, PODS, KubeError, Resource
from shuffle_protocol.messages import LeaseKind
from tests.operator.puppets import Puppets
from tests.operator.small_jobs import job, patch, until_phase, until_ready
from tests.operator.stage import NAMESPACE, Stage


async def test_a_job_that_someone_else_manages_is_left_alone(stage: Stage, puppets: Puppets) -> None:
    await stage.submit(job("theirs", managedBy="kueue.x-k8s.io/multikueue"))
    await stage.submit(job())
    await until_phase(stage, "Complete")
    assert "status" not in stage.job("theirs")


async def test_a_finished_job_removes_itself_after_its_ttl(stage: Stage, puppets: Puppets) -> None:
    await stage.submit(job(ttlSecondsAfterFinished=0))
    await stage.until(lambda: not stage.kube.objects.keys() & {(JOBS, NAMESPACE, "sorted")})
    await stage.until(lambda: not stage.pods())
    await stage.until(lambda: "Completed" in stage.events())


async def test_pods_of_a_complete_job_stay_where_they_are_wanted(stage: Stage, puppets: Puppets) -> None:
    await stage.submit(job(podRetention="Always"))
    await until_phase(stage, "Complete")
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: not operator.reconciler.active)
    assert [pod["status"]["phase"] for pod in stage.pods().values()] == ["Succeeded", "Succeeded"]


async def test_a_failed_workers_pod_stays_for_its_logs(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    puppets.end("sorted-w-0-0", 1)
    await stage.until(lambda: len(puppets.started) == 3)
    puppets.hold.set()
    await until_phase(stage, "Complete")
    await stage.until(lambda: list(stage.pods()) == ["sorted-w-0-0"])
    failure = stage.status()["lastFailure"]
    assert failure["pod"] == "sorted-w-0-0"
    assert (failure["exitCode"], failure["worker"]) == (1, 0)
    assert "the last line" in failure["message"]
    assert stage.status()["failures"] == 1


async def test_failures_of_the_jobs_own_have_a_limit(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job(backoffLimit=1, workers={"replicas": 1}))
    for _ in range(2):
        await until_ready(stage, 1)
        puppets.end(puppets.started[-1], 137, "OOMKilled")
        await stage.until(
            lambda: stage.status().get("workers", {}).get("ready") == 0 or "Failed" in str(stage.status())
        )
    puppets.hold.set()
    await until_phase(stage, "Failed")
    assert stage.status()["message"].startswith("BackoffLimitExceeded: 2 workers failed (backoffLimit 1)")
    assert stage.status()["lastFailure"]["reason"] == "OOMKilled"
    assert "raise workers.resources.limits.memory" in stage.status()["lastFailure"]["message"]
    await stage.until(lambda: "OOMKilled" in stage.events())


async def test_evictions_do_not_count_as_failures(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job(backoffLimit=0))
    await until_ready(stage)
    await stage.kube.delete(PODS, NAMESPACE, "sorted-w-1-0")
    await stage.until(lambda: len(puppets.started) == 3)
    puppets.hold.set()
    await until_phase(stage, "Complete")
    assert (stage.status()["failures"], stage.status()["disruptions"]) == (0, 1)
    assert stage.status()["workers"]["replaced"] == 1


async def test_a_refusal_is_quoted_and_the_startup_deadline_ends_it(stage: Stage, puppets: Puppets) -> None:
    said = 'admission webhook "policy.example.com" denied the request: no owner'
    stage.kube.refusals["create", PODS] = KubeError(403, "Forbidden", said)
    await stage.submit(job(startupDeadlineSeconds=2))
    await stage.until(lambda: said in str(stage.status().get("message")))
    await until_phase(stage, "Failed")
    assert stage.status()["message"].startswith("StartupDeadlineExceeded")
    assert said in stage.status()["message"]
    assert stage.kube.requests["create", "pods"] < 12


async def test_a_pod_that_kubernetes_refuses_for_good_fails_the_job_at_once(stage: Stage, puppets: Puppets) -> None:
    stage.kube.refusals["create", PODS] = KubeError(422, "Invalid", "spec.containers[0].image: Invalid value")
    await stage.submit(job())
    await until_phase(stage, "Failed")
    assert stage.status()["message"].startswith("InvalidSpec: Kubernetes refuses the worker's pod")


async def test_a_deadline_ends_the_job(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await patch(stage, activeDeadlineSeconds=1)
    puppets_let_go = stage.until(lambda: "DeadlineExceeded" in str(stage.status().get("message")))
    await puppets_let_go
    puppets.hold.set()
    await until_phase(stage, "Failed")
    assert not any(pod["status"]["phase"] == "Running" for pod in stage.pods().values())


async def test_workers_are_added_and_taken_away_while_it_runs(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await patch(stage, workers={"replicas": 4})
    await until_ready(stage, 4)
    await patch(stage, workers={"replicas": 1})
    await until_ready(stage, 1)
    await stage.until(lambda: len(stage.pods()) == 1)
    puppets.hold.set()
    await until_phase(stage, "Complete")
    assert (stage.status()["failures"], stage.status()["disruptions"]) == (0, 0)
    await stage.until(lambda: "Resized" in stage.events())


async def test_a_job_that_is_submitted_suspended_waits(stage: Stage, puppets: Puppets) -> None:
    await stage.submit(job(suspend=True))
    await until_phase(stage, "Suspended")
    assert not puppets.started
    await patch(stage, suspend=False)
    await until_phase(stage, "Complete")


async def test_a_job_that_is_to_be_suspended_is_undone_by_the_next_operator_too(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await stage.kill()
    await patch(stage, suspend=True)
    puppets.hold.set()
    await stage.start(kubelet=False)
    await until_phase(stage, "Suspended")
    assert LeaseKind.ABORT in puppets.carried_out
    assert not stage.pods()


async def test_an_operator_that_was_replaced_and_lives_on_stops(stage: Stage, puppets: Puppets) -> None:
    """On a node that was out of reach, say: its successor's generation is in the status."""
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"status": {"epoch": EPOCHS}}, status=True)
    before = len(stage.kube.writes)
    with pytest.raises(RuntimeError, match="another operator"):
        await stage.until(lambda: False, within=10)
    assert stage.kube.writes[before:] == []


async def test_what_changed_meanwhile_is_not_written_over(stage: Stage, puppets: Puppets) -> None:
    body = await stage.submit(job(suspend=True))
    await until_phase(stage, "Suspended")
    with pytest.raises(KubeError, match="modified"):
        await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"metadata": body["metadata"], "status": {}}, status=True)


async def foreign_pod(stage: Stage, puppets: Puppets, name: str) -> dict[str, Any]:
    """A pod that has nothing to do with any job."""
    stage.kube.listeners.remove(puppets.heard)
    made = await stage.kube.create(PODS, NAMESPACE, {"metadata": {"name": name}, "spec": {"containers": []}})
    stage.kube.listeners.append(puppets.heard)
    return made


async def test_a_pod_of_that_name_that_is_someone_elses_is_not_touched(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    theirs = await foreign_pod(stage, puppets, "sorted-w-0-0")
    await stage.submit(job())
    await stage.until(lambda: "belongs to something else" in str(stage.status().get("message")))
    assert stage.pods()["sorted-w-0-0"]["spec"] == theirs["spec"]


async def test_one_broken_job_does_not_hold_up_the_others(stage: Stage, puppets: Puppets) -> None:
    await stage.submit(job("broken", workers={"replicas": 2, "podTemplate": {"spec": {"hostNetwork": True}}}))
    for number in range(10):
        await stage.submit(job(f"good-{number}"))
    for number in range(10):
        await until_phase(stage, "Complete", f"good-{number}")
    assert "hostNetwork" in stage.status("broken")["message"]
    assert not [name for name in puppets.started if name.startswith("broken")]


async def test_requests_for_a_job_grow_with_its_workers_and_not_with_time(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    quiet = len(stage.kube.writes)
    await stage.until(lambda: stage.operator is not None and stage.operator.queue.depth == 0)
    await asyncio.sleep(2.5)  # several passes, with nothing to say
    assert len(stage.kube.writes) == quiet
    puppets.hold.set()
    await until_phase(stage, "Complete")


async def test_a_status_that_the_server_changes_is_not_written_over_and_over(stage: Stage, puppets: Puppets) -> None:
    """As one would that fills in a default."""

    def complete(kind: str, resource: Resource, body: dict[str, Any]) -> None:
        if resource == JOBS and kind == "MODIFIED":
            status = stage.job()["status"]
            status["conditions"] = [{**each, "message": "filled in"} for each in status.get("conditions", [])]

    stage.kube.listeners.insert(0, complete)
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    before = len(stage.kube.writes)
    await asyncio.sleep(3)
    assert len(stage.kube.writes) - before <= 3
    puppets.hold.set()
    await until_phase(stage, "Complete")


async def test_every_right_in_the_table_is_used_and_no_other(stage: Stage, puppets: Puppets) -> None:
    """`watch` is kopf's, `get` of a pod is for one that exists already."""
    await stage.submit(job(ttlSecondsAfterFinished=0))
    await stage.until(lambda: (JOBS, NAMESPACE, "sorted") not in stage.kube.objects)
    await foreign_pod(stage, puppets, "second-w-0-0")
    stage.kube.used.clear()
    await stage.submit(job("second"))
    await stage.until(lambda: ("", "pods", "get") in stage.kube.used)
    await stage.kube.delete(PODS, NAMESPACE, "second-w-0-0")
    await patch_named(stage, "second", ttlSecondsAfterFinished=0)
    await stage.until(lambda: (JOBS, NAMESPACE, "second") not in stage.kube.objects)
    await stage.until(lambda: not stage.pods())
    assert stage.operator is not None
    await stage.operator.watch.relist()
    used = stage.kube.used - {
        ("shuffle-operator.dev", "shufflejobs", "create"),
        ("shuffle-operator.dev", "shufflejobs", "patch"),
    }
    table = {(group, resource, verb) for (group, resource), verbs in ROLE.items() for verb in verbs}
    watched = {("shuffle-operator.dev", "shufflejobs", "watch"), ("", "pods", "watch")}
    assert used | watched == table


async def test_a_coordinator_that_cannot_go_on_does_not_stop_the_others(
    stage: Stage, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    puppets.hold.clear()
    await stage.submit(job("broken"))
    await until_phase_is_known(stage, "broken")
    handle = Coordinator.handle

    def raises(machine: Coordinator, event: Event, now: float) -> list[Any]:
        if machine.state.job.name == "broken" and isinstance(event, Tick):
            raise ZeroDivisionError("of a worker that lies")
        return handle(machine, event, now)

    monkeypatch.setattr(Coordinator, "handle", raises)
    await asyncio.sleep(1.5)  # the ticker's turn
    puppets.hold.set()
    await stage.submit(job("second"))
    await until_phase(stage, "Complete", "second")


async def until_phase_is_known(stage: Stage, name: str) -> None:
    await stage.until(lambda: stage.status(name).get("workers", {}).get("ready") == 2)


async def test_stores_and_functions_that_are_not_allowed_start_nothing(stage: Stage, puppets: Puppets) -> None:
    operator = stage.operator
    assert operator is not None
    operator.reconciler.world.restrictions = Restrictions(frozenset({"s3"}), functions=False)
    await stage.submit(job())
    await until_phase(stage, "Failed")
    message = stage.status()["message"]
    assert "spec.inputs[0].path: found a path of the worker's own file system" in message
    assert "spec.output.path" in message
    assert not puppets.started


async def patch_named(stage: Stage, name: str, **spec: Any) -> None:
    await stage.kube.patch(JOBS, NAMESPACE, name, {"spec": spec})


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ttl", "finished", "due"),
    [
        (None, "2026-01-01T11:00:00Z", None),
        (60, None, None),
        (60, "2026-01-01T11:59:30Z", 30.0),
        (60, "2026-01-01T11:00:00Z", 0.0),
        (0, "2026-01-01T12:00:00Z", 0.0),
    ],
)
def test_when_a_job_is_removed(ttl: int | None, finished: str | None, due: float | None) -> None:
    body = {"spec": {} if ttl is None else {"ttlSecondsAfterFinished": ttl}, "status": {"completionTime": finished}}
    assert policies.removal_due(body, NOW) == due


def test_generations_rise_with_every_coordinator() -> None:
    assert policies.next_generation({"status": {}}) == 0
    assert policies.next_generation({"status": {"epoch": 0}}) == 1
    assert policies.next_generation({"status": {"epoch": 5}}) == 1
    assert policies.next_generation({"status": {"epoch": (3 << 16) + 9}}) == 4


def test_times_that_are_none_are_not_read() -> None:
    assert policies.time_of("yesterday") is None
    assert policies.time_of(None) is None
    assert policies.time_of("2026-01-01T12:00:00Z") == NOW
    assert policies.time_of("2026-01-01T13:00:00+01:00") == NOW

"""The operator and its trigger, with the real Airflow and an API server."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from shuffle_operator.airflow import ShuffleJobOperator, ShuffleJobTrigger, trigger
from shuffle_operator.airflow.operator import RUN, SEEN
from shuffle_operator.api.status import REASONS
from shuffle_operator.client.client import Client
from shuffle_operator.client.once import TTL
from shuffle_operator.client.reasons import FINAL, RETRYABLE
from shuffle_operator.kube.api import JOBS, Object
from tests.operator.api_server import ApiServer
from tests.operator.finishing import finished

JOB: dict[str, Any] = {
    "apiVersion": "shuffle-operator.dev/v1alpha1",
    "kind": "ShuffleJob",
    "metadata": {"name": "sort", "labels": {"team": "web"}},
    "spec": {
        "operation": {"sort": {"by": [{"column": "ts"}]}},
        "inputs": [{"path": "s3://lake/raw/{{ ds }}/"}],
        "output": {"path": "s3://lake/sorted/{{ ds }}/"},
    },
}


def task(**arguments: Any) -> ShuffleJobOperator:
    with DAG("daily"):
        return ShuffleJobOperator(
            **{"task_id": "sort_events", "job": JOB, "deferrable": True, "poll_seconds": 0.02, **arguments}
        )


def context(run: str = "scheduled__2026-01-01", map_index: int = -1) -> dict[str, Any]:
    """As far as the operator looks at it. Another try of a run has the same."""
    return {"ti": SimpleNamespace(dag_id="daily", task_id="sort_events", run_id=run, map_index=map_index)}


def deferred(made: ShuffleJobOperator, run: dict[str, Any] | None = None) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        made.execute(run or context())
    return caught.value


def jobs(server: ApiServer) -> dict[str, Object]:
    return {name: body for (kind, where, name), body in server.kube.objects.items() if (kind, where) == (JOBS, "data")}


def only(server: ApiServer) -> Object:
    (found,) = jobs(server).values()
    return found


def fired(signal: TaskDeferred) -> dict[str, Any]:
    """What the trigger tells, made again from what Airflow would have stored."""
    where, fields = signal.trigger.serialize()
    assert where == "shuffle_operator.airflow.trigger.ShuffleJobTrigger"

    async def first() -> dict[str, Any]:
        async for event in ShuffleJobTrigger(**fields).run():
            payload: dict[str, Any] = event.payload
            return payload
        raise AssertionError("it never fired")

    return asyncio.run(asyncio.wait_for(first(), 10))


def resumed(made: ShuffleJobOperator, signal: TaskDeferred) -> dict[str, Any]:
    assert (signal.method_name, signal.kwargs) == ("execute_complete", None)  # which dag.test() would lose
    return made.execute_complete(context(), fired(signal))


def test_a_run_makes_its_job_waits_in_the_triggerer_and_returns_what_was_written(server: ApiServer) -> None:
    made = task()
    signal = deferred(made)
    body = only(server)
    assert body["metadata"]["name"].startswith("sort-events-")
    assert body["metadata"]["labels"] == {"team": "web"}
    assert body["metadata"]["annotations"] == {RUN: "daily/sort_events/scheduled__2026-01-01/-1"}
    assert body["spec"]["ttlSecondsAfterFinished"] == TTL
    finished(body)
    assert resumed(made, signal) == {
        "job": f"data/{body['metadata']['name']}",
        "output": body["spec"]["output"]["path"],
        "manifest": body["spec"]["output"]["path"] + "_manifest.json",
        "rows": 7,
    }
    assert only(server)["metadata"]["annotations"][SEEN] == "true"


def test_every_try_of_a_run_has_the_same_job_and_other_runs_have_others(server: ApiServer) -> None:
    first = deferred(task())
    assert deferred(task()).trigger.uid == first.trigger.uid
    assert len(jobs(server)) == 1
    for other in (context("manual__1"), context(map_index=0)):
        assert deferred(task(), other).trigger.uid != first.trigger.uid
    assert len(jobs(server)) == 3


def test_a_try_after_the_worker_was_lost_returns_what_the_job_wrote_meanwhile(server: ApiServer) -> None:
    deferred(task())
    finished(only(server))
    assert task().execute(context())["rows"] == 7
    assert len(jobs(server)) == 1


@pytest.mark.parametrize("over", ["failed", "seen"])
def test_a_job_that_is_over_is_replaced_by_a_try_that_comes_after(server: ApiServer, over: str) -> None:
    made = task()
    signal = deferred(made)
    if over == "seen":  # the task was cleared: somebody wants it to run again
        finished(only(server))
        resumed(made, signal)
    else:
        finished(only(server), "Failed", "StorageUnavailable")
        with pytest.raises(AirflowException, match="that is how it is"):
            resumed(made, signal)
    again = deferred(task())
    assert again.trigger.uid != signal.trigger.uid
    assert "status" not in only(server)


@pytest.mark.parametrize("reason", sorted(set(REASONS) - {"Completed"}))
def test_what_another_try_may_mend_is_tried_again_and_nothing_else(server: ApiServer, reason: str) -> None:
    assert set(REASONS) - {"Completed"} == RETRYABLE | FINAL
    made = task()
    signal = deferred(made)
    finished(only(server), "Failed", reason)
    with pytest.raises(AirflowException, match=r"ShuffleJob data/sort-events-\w+: Failed: that is how it is") as caught:
        resumed(made, signal)
    assert isinstance(caught.value, AirflowFailException) is (reason in FINAL)


def test_without_deferring_it_waits_itself(server: ApiServer) -> None:
    deferred(task())  # so that the job is there
    finished(only(server))
    assert task(deferrable=False).execute(context())["rows"] == 7


def test_a_job_that_somebody_deletes_fails_the_task_for_good(server: ApiServer) -> None:
    made = task()
    signal = deferred(made)
    server.kube.objects.clear()
    with pytest.raises(AirflowFailException, match="was deleted before its end was seen"):
        resumed(made, signal)


def test_an_api_server_that_is_away_is_waited_for_and_then_said(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = task()
    signal = deferred(made)
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    monkeypatch.setattr(trigger, "PATIENCE", 0.1)
    event = fired(signal)
    assert event["kind"] == "unreachable"
    with pytest.raises(AirflowException, match="the API server does not answer") as caught:
        made.execute_complete(context(), event)
    assert not isinstance(caught.value, AirflowFailException)


def test_ending_the_task_ends_its_job_and_no_other_of_that_name(server: ApiServer) -> None:
    made = task()
    signal = deferred(made)
    other = ShuffleJobTrigger(**{**signal.trigger.serialize()[1], "uid": "another"})
    asyncio.run(other.on_kill())
    assert len(jobs(server)) == 1
    asyncio.run(signal.trigger.on_kill())
    assert jobs(server) == {}
    deferred(made)
    made.on_kill()
    assert jobs(server) == {}


@pytest.mark.parametrize("during", ["submit", "get"])
def test_a_signal_to_a_task_that_holds_a_slot_ends_its_job(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    """Airflow calls on_kill in the signal's handler: in the midst of whatever the task does."""
    made = task(deferrable=False)
    call = getattr(Client, during)

    async def interrupted(*arguments: Any) -> Any:
        found = await call(*arguments)
        signal.raise_signal(signal.SIGTERM)
        return found

    monkeypatch.setattr(Client, during, interrupted)
    before = signal.signal(signal.SIGTERM, lambda *_: made.on_kill())
    try:
        with pytest.raises(AirflowException, match="task was ended" if during == "submit" else "was deleted"):
            made.execute(context())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert jobs(server) == {}


def from_python() -> Any:
    from shuffle_operator import read_parquet

    return read_parquet("s3://lake/raw/{{ ds }}/").sort("ts").write_parquet("s3://lake/sorted/{{ ds }}/")


def as_text() -> str:
    import yaml

    return yaml.safe_dump(JOB)


@pytest.mark.parametrize("given", [lambda: JOB, as_text, from_python], ids=["mapping", "text", "python"])
def test_a_job_may_be_given_in_several_forms_and_is_a_template(server: ApiServer, given: Callable[[], Any]) -> None:
    made = task(job=given())
    made.render_template_fields({"ds": "2026-01-01"})
    deferred(made)
    spec = only(server)["spec"]
    assert spec["inputs"][0]["path"] == "s3://lake/raw/2026-01-01/"
    assert spec["output"]["path"] == "s3://lake/sorted/2026-01-01/"


def test_a_job_file_is_found_as_templates_are(server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "sort.yaml").write_text(as_text())
    with DAG("daily", template_searchpath=str(tmp_path)):
        made = ShuffleJobOperator(task_id="sort_events", job="sort.yaml", deferrable=True)
    made.resolve_template_files()
    made.render_template_fields({"ds": "2026-01-01"})
    deferred(made)
    assert only(server)["spec"]["inputs"][0]["path"] == "s3://lake/raw/2026-01-01/"


def test_a_mistake_fails_the_task_with_all_that_is_wrong_and_makes_no_job(server: ApiServer) -> None:
    wrong = {**JOB, "spec": {**JOB["spec"], "outptu": {}, "operation": {"sort": {"by": []}}}}
    with pytest.raises(AirflowFailException, match=r"(?s)outptu.*did you mean `output`"):
        task(job=wrong).execute(context())
    assert jobs(server) == {}
    with pytest.raises(TypeError, match="expected a mapping, the text or the path of a job file"):
        task(job=7)


def test_what_a_trigger_is_made_of_can_be_stored(server: ApiServer) -> None:
    _, fields = deferred(task()).trigger.serialize()
    assert set(fields) == set(inspect.signature(ShuffleJobTrigger).parameters)
    assert all(isinstance(value, str | float | None) for value in fields.values())

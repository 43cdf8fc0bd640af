"""What Flyte is told about a job, for every phase and every reason that there is."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.extend.backend.utils import is_terminal_phase

from shuffle_operator.api.status import REASONS, PhaseName
from shuffle_operator.client.job import SubmittedJob
from shuffle_operator.client.reasons import FINAL, RETRYABLE
from shuffle_operator.flyte.phases import PHASES, phase_of, resource_of
from tests.flyte.executions import SPEC


def job(phase: str | None, reason: str = "", **status: Any) -> SubmittedJob:
    body: dict[str, Any] = {"metadata": {"name": "a", "namespace": "data", "uid": "1"}, "spec": SPEC}
    if phase is not None:
        conditions = [{"type": "Finished", "status": "True", "reason": reason}] if reason else []
        body["status"] = {"phase": phase, "message": f"{phase}: so far", "conditions": conditions, **status}
    return SubmittedJob(body)


def test_every_phase_and_every_reason_is_listed_once() -> None:
    assert set(PHASES) == set(get_args(PhaseName))
    assert set(REASONS) - {"Completed"} == RETRYABLE | FINAL
    assert not RETRYABLE & FINAL


@pytest.mark.parametrize("phase", get_args(PhaseName))
def test_flyte_takes_a_job_for_finished_when_it_is(phase: str) -> None:
    assert is_terminal_phase(phase_of(job(phase))) is (phase in ("Complete", "Failed"))


@pytest.mark.parametrize("reason", sorted(RETRYABLE | FINAL))
def test_what_another_attempt_may_mend_is_retryable(reason: str) -> None:
    wanted = TaskExecution.RETRYABLE_FAILED if reason in RETRYABLE else TaskExecution.FAILED
    assert phase_of(job("Failed", reason)) == wanted


def test_a_job_that_no_operator_has_seen_is_queued() -> None:
    assert phase_of(job(None)) == TaskExecution.QUEUED
    assert "no operator" in str(resource_of(job(None)).message)


def test_a_phase_of_a_later_version_is_not_an_end() -> None:
    assert phase_of(job("Tidying")) == TaskExecution.RUNNING
    assert phase_of(job("Failed", "SomethingNew")) == TaskExecution.FAILED


async def test_progress_and_output_reach_flyte() -> None:
    running = await resource_of(job("Writing", rows={"read": 5}, progress=60)).to_flyte_idl()
    assert running.message == "Writing: so far"
    assert running.custom_info["rows"]["read"] == 5
    assert running.custom_info["job"] == "data/a"
    assert not running.outputs.literals
    done = await resource_of(job("Complete", "Completed", output={"path": "s3://bucket/out/"})).to_flyte_idl()
    dataset = done.outputs.literals["output"].scalar.structured_dataset
    assert (dataset.uri, dataset.metadata.structured_dataset_type.format) == ("s3://bucket/out/", "parquet")

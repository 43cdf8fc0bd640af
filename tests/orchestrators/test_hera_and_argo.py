"""The example in hera, and the example workflows against Argo's types as hera has them."""

from __future__ import annotations

import runpy
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hera.workflows import models

from shuffle_operator.api.resolve import unsupported
from shuffle_operator.api.validation import load_job
from tests.argo.workflows import WORKFLOWS, shuffle_jobs, steps
from tests.project import PROJECT

EXAMPLE = PROJECT / "examples" / "argo" / "shuffle_with_hera.py"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_an_example_is_what_argo_knows_and_has_no_field_besides(file: Any) -> None:
    document = yaml.safe_load(file.read_text())
    model = getattr(models, document["kind"])
    understood = model.model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert understood == document


def test_the_workflow_of_hera_has_a_valid_job_that_is_waited_for() -> None:
    workflow = runpy.run_path(str(EXAMPLE))["workflow"].to_dict()
    (body,) = shuffle_jobs(workflow)
    job = load_job(yaml.safe_dump(body))
    assert unsupported(job, local=False) == []
    assert job.metadata.name == "sort-events-x7k2q"
    (step,) = steps(workflow)
    assert step["setOwnerReference"] is True
    assert (step["successCondition"], step["failureCondition"]) == (
        "status.phase == Complete",
        "status.phase == Failed",
    )


def test_the_example_prints_a_workflow_for_kubectl() -> None:
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True)
    assert yaml.safe_load(done.stdout)["kind"] == "Workflow"

"""`helm install` is all it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from e2e.conftest import Submit
from e2e.harness.cluster import Cluster
from e2e.harness.jobs import KIND, REPARTITION, manifest
from e2e.harness.kubectl import Kubectl
from e2e.harness.operator import ACCOUNT, CHART, NAMESPACE, RELEASE, Operator
from e2e.harness.process import run


@pytest.mark.core
def test_the_operator_is_installed_ready_and_tested_by_helm(operator: Operator, cluster: Cluster) -> None:
    pod = operator.pod()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert "Succeeded" in cluster.helm("test", RELEASE, "--namespace", NAMESPACE)
    assert operator.metrics()
    assert "Traceback" not in operator.logs()


def test_every_field_is_explained(operator: Operator) -> None:
    def check(path: str) -> None:
        text = operator.kubectl("explain", path)
        assert "<empty>" not in text.partition("FIELDS:")[0], path
        assert "DESCRIPTION:" in text, path

    for path in ("", ".spec", ".status", ".spec.operation.repartition", ".spec.workers.scratch", ".status.barrier"):
        check(f"shufflejob{path}")


def test_a_wrong_job_is_refused_before_anything_starts(kubectl: Kubectl) -> None:
    document = manifest("wrong", REPARTITION, "s3://bucket/a/", "s3://bucket/b/", output={"partitions": "many"})
    refused = kubectl("create", "--filename=-", stdin=json.dumps(document), check=False)
    assert "spec.output.partitions" in refused
    assert kubectl.get(KIND, "wrong") is None


def test_what_only_the_operator_can_check_fails_the_job_with_a_sentence(submit: Submit) -> None:
    operation = {**REPARTITION, "sort": {"by": [{"column": "ts"}]}}
    job = submit("two-operations", operation)
    status = job.failed("InvalidSpec", seconds=30)
    assert "operation" in status["message"]
    assert job.pods() == []


def test_the_operator_may_do_what_it_must_and_no_more(operator: Operator) -> None:
    def may(*what: str) -> bool:
        answer = operator.kubectl("auth", "can-i", *what, f"--as={ACCOUNT}", check=False)
        return answer.startswith("yes")

    assert may("create", "pods")
    assert may("patch", "shufflejobs", "--subresource=status")
    for what in (
        ("list", "secrets"),
        ("get", "secrets"),
        ("create", "pods", "--subresource=exec"),
        ("patch", "shufflejobs"),
        ("get", "nodes"),
        ("create", "clusterroles"),
    ):
        assert not may(*what), what


def test_calls_without_the_jobs_token_are_refused_and_counted(submit: Submit, operator: Operator) -> None:
    job = submit("guarded", REPARTITION)
    job.until_phase("Planning", "Transferring", "Writing")
    before = operator.metrics()["shuffle_requests_refused_total"]
    inside = f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}:http/proxy"
    for uid in (job.object["metadata"]["uid"], "no-such-job"):
        refused = operator.kubectl("get", "--raw", f"{inside}/v1/jobs/{uid}", check=False)
        assert "asked for the client to provide credentials" in refused  # as kubectl says 401
    assert operator.metrics()["shuffle_requests_refused_total"] == before + 2
    job.complete()


def test_the_definition_is_upgraded_as_the_notes_say(operator: Operator, tmp_path: Path) -> None:
    """Helm never does: an older definition is replaced by what `shuffle crd` prints, and jobs stay."""
    older = yaml.safe_load((CHART / "crds" / "shufflejobs.yaml").read_text())
    properties = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del properties["recovery"]
    file = tmp_path / "older.json"
    file.write_text(json.dumps(older))
    try:
        operator.apply_definition(file)
        assert "recovery" not in operator.kubectl("get", "crd", "shufflejobs.shuffle-operator.dev", "--output=json")
    finally:
        newer = tmp_path / "newer.yaml"
        newer.write_text(run([CHART.parents[1] / ".venv/bin/shuffle", "crd"]))
        operator.apply_definition(newer)
    assert "recovery" in operator.kubectl("get", "crd", "shufflejobs.shuffle-operator.dev", "--output=json")

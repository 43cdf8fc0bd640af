"""`helm install` is all it takes."""

from __future__ import annotations

import base64
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
from e2e.harness.waiting import until


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
    assert may("get", f"secrets/{RELEASE}-seed")
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


def test_workers_talk_with_tls_and_plain_calls_learn_nothing(submit: Submit, operator: Operator) -> None:
    """Even with the job's token: its coordinator is answered for at the other port only."""
    job = submit("secured", REPARTITION)
    job.until_phase("Planning", "Transferring", "Writing")
    pods = job.pods()
    for pod in pods:
        variables = {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}
        assert variables["SHUFFLE_COORDINATOR"].startswith("https://")
        assert "shuffle-operator.dev/authority-sha256" in pod["metadata"]["annotations"]
    secret = next(v["secret"]["secretName"] for v in pods[0]["spec"]["volumes"] if v["name"] == "token")
    held = job.kubectl.get("secret", secret)
    assert held is not None
    assert held["data"].keys() == {"token", "ca.crt", "tls.crt", "tls.key"}
    token = base64.b64decode(held["data"]["token"]).decode()
    asked = (
        "import sys, urllib.request as r; "
        "call = r.Request(sys.argv[1], headers={'Authorization': 'Bearer ' + sys.argv[2]}); "
        "print(r.build_opener(type('Any', (r.HTTPErrorProcessor,), {'http_response': lambda s, q, a: a}))"
        ".open(call, timeout=10).status)"
    )
    url = f"http://{RELEASE}.{NAMESPACE}.svc:8080/v1/jobs/{job.object['metadata']['uid']}"
    name = operator.pod()["metadata"]["name"]
    assert operator.kubectl("exec", name, "--", "python", "-c", asked, url, token).strip() == "401"
    job.complete()


def test_a_jobs_workers_are_reached_by_each_other_only(submit: Submit, operator: Operator) -> None:
    """As far as can be seen here: the API server takes the policy, it selects the job's pods, and it goes with them."""
    if not operator.isolates:
        pytest.skip("no network policies in this cluster")
    job = submit("isolated", REPARTITION)
    job.until_phase("Planning", "Transferring", "Writing")
    (policy,) = job.kubectl.list("networkpolicies")
    selected = {"podSelector": policy["spec"]["podSelector"]}
    ((name, uid),) = selected["podSelector"]["matchLabels"].items()
    assert all(pod["metadata"]["labels"][name] == uid == job.object["metadata"]["uid"] for pod in job.pods())
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"] == [selected]
    assert policy["metadata"]["ownerReferences"][0]["kind"] == "ShuffleJob"
    job.complete()
    until("its policy is gone", lambda: not job.kubectl.list("networkpolicies"), seconds=60)


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

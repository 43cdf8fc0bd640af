"""The workflows in examples/argo and on the page are what they say: valid jobs, conditions, rights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shuffle_operator.api.resolve import unsupported
from shuffle_operator.api.schema import crd
from shuffle_operator.api.spec import GROUP, MAX_NAME, PLURAL
from shuffle_operator.api.validation import load_job
from tests.argo.conditions import parse
from tests.argo.workflows import WORKFLOWS, shuffle_jobs, spec_of, steps
from tests.project import PROJECT

PAGE = (PROJECT / "docs" / "argo.md").read_text()
RBAC = {part["kind"]: part for part in yaml.safe_load_all((PROJECT / "examples" / "argo" / "rbac.yaml").read_text())}


def workflows() -> list[Any]:
    found = [pytest.param(yaml.safe_load(file.read_text()), id=file.stem) for file in WORKFLOWS]
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    on_the_page = [yaml.safe_load(block) for block in blocks]
    return found + [pytest.param(each, id="page") for each in on_the_page if each.get("kind") == "Workflow"]


@pytest.mark.parametrize("workflow", workflows())
def test_the_jobs_inside_are_valid(workflow: dict[str, Any]) -> None:
    jobs = shuffle_jobs(workflow)
    assert jobs or workflow["kind"] == "CronWorkflow"  # which calls a template
    for body in jobs:
        job = load_job(yaml.safe_dump(body))
        assert unsupported(job, local=False) == []
        assert len(job.metadata.name) <= MAX_NAME


@pytest.mark.parametrize("workflow", workflows())
def test_steps_are_waited_for_and_own_their_jobs(workflow: dict[str, Any]) -> None:
    for step in steps(workflow):
        assert step["action"] == "create"
        assert step["setOwnerReference"] is True
        assert step["successCondition"] == "status.phase == Complete"
        assert step["failureCondition"] == "status.phase == Failed"
        for condition in (step["successCondition"], step["failureCondition"]):
            assert [each.key for each in parse(condition)] == ["status.phase"]


@pytest.mark.parametrize("workflow", workflows())
def test_what_steps_hand_on_is_in_the_status(workflow: dict[str, Any]) -> None:
    for template in spec_of(workflow)["templates"]:
        if "resource" not in template:
            continue
        for parameter in template.get("outputs", {}).get("parameters", []):
            path = re.fullmatch(r"\{\.status\.([\w.]+)\}", parameter["valueFrom"]["jsonPath"])
            assert path is not None, parameter
            assert _type_at(path[1].split(".")) in ("string", "integer"), parameter


def _type_at(path: list[str]) -> object:
    """The type of a field of the status, by the resource's definition."""
    (version,) = crd()["spec"]["versions"]
    node = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    for name in path:
        node = node["properties"][name]
    return node["type"]


def test_the_dag_runs_the_shuffle_between_two_containers() -> None:
    workflow = yaml.safe_load((PROJECT / "examples" / "argo" / "shuffle-between-steps.yaml").read_text())
    templates = {each["name"]: each for each in workflow["spec"]["templates"]}
    tasks = {each["name"]: each for each in templates["main"]["dag"]["tasks"]}
    kinds = [next(k for k in ("container", "resource") if k in templates[t["template"]]) for t in tasks.values()]
    assert kinds == ["container", "resource", "container"]
    assert [each.get("depends") for each in tasks.values()] == [None, "collect.Succeeded", "sort.Succeeded"]
    used = set(re.findall(r"\{\{tasks\.sort\.outputs\.parameters\.(\w+)\}\}", str(tasks["report"])))
    assert used == {each["name"] for each in templates["sort"]["outputs"]["parameters"]}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_run_as_the_account_that_has_the_rights(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    account = RBAC["ServiceAccount"]["metadata"]["name"]
    assert spec_of(workflow)["serviceAccountName"] == account
    binding = RBAC["RoleBinding"]
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": RBAC["Role"]["metadata"]["name"],
    }
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account}]


def test_the_rights_are_those_that_a_step_uses() -> None:
    rights = {
        (group, resource): set(rule["verbs"])
        for rule in RBAC["Role"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rights == {
        (GROUP, PLURAL): {"create", "get", "list", "watch", "patch", "delete"},
        ("argoproj.io", "workflowtaskresults"): {"create", "patch"},
    }


def test_the_nightly_workflow_calls_the_template_with_all_that_it_takes() -> None:
    folder = PROJECT / "examples" / "argo"
    template = yaml.safe_load((folder / "shuffle-template.yaml").read_text())
    nightly = yaml.safe_load((folder / "shuffle-nightly.yaml").read_text())
    ((step,),) = spec_of(nightly)["templates"][0]["steps"]
    called = {each["name"]: each for each in template["spec"]["templates"]}[step["templateRef"]["template"]]
    assert step["templateRef"]["name"] == template["metadata"]["name"]
    given = [each["name"] for each in step["arguments"]["parameters"]]
    assert given == [each["name"] for each in called["inputs"]["parameters"]]

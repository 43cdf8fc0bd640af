"""The example workflows, and what Argo would make of them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.project import PROJECT

WORKFLOWS = sorted(file for file in (PROJECT / "examples" / "argo").glob("*.yaml") if file.stem != "rbac")

Object = dict[str, Any]


GIVEN = {"source": "s3://bucket/events/", "target": "s3://bucket/out/"}
"""Of a WorkflowTemplate's parameters without a value, what somebody who submits it gives."""


def spec_of(workflow: Object) -> Object:
    """Of a Workflow, a WorkflowTemplate or a CronWorkflow."""
    spec: Object = workflow["spec"]
    return spec["workflowSpec"] if workflow["kind"] == "CronWorkflow" else spec


def fill_in(text: str, workflow: Object, inputs: Object | None = None) -> str:
    """The text of a template as Argo hands it to the step: parameters of the workflow and of the template in their
    places. inputs: the template's, where they have values of their own."""
    values = {
        f"workflow.parameters.{one['name']}": one.get("value") or GIVEN[one["name"]]
        for one in spec_of(workflow).get("arguments", {}).get("parameters", [])
    } | {"workflow.uid": "0b8e7c1e-6d0c-4c59-8f4e-2f7a0d6b1a11", "workflow.name": "daily-events-x7k2q"}

    for one in (inputs or {}).get("parameters", []):
        if "value" in one:
            values[f"inputs.parameters.{one['name']}"] = fill_in(one["value"], workflow)

    def value(match: re.Match[str]) -> str:
        return str(values[match[1].strip()])

    return re.sub(r"\{\{(.*?)\}\}", value, text)


def steps(workflow: Object) -> list[Object]:
    """Its resource steps."""
    return [template["resource"] for template in spec_of(workflow)["templates"] if "resource" in template]


def shuffle_jobs(workflow: Object) -> list[Object]:
    """The jobs that its steps create; a generated name is finished as the API server does it."""
    found: list[Object] = []
    for template in spec_of(workflow)["templates"]:
        if "resource" not in template:
            continue
        job = yaml.safe_load(fill_in(template["resource"]["manifest"], workflow, template.get("inputs")))
        if "generateName" in job["metadata"]:
            job["metadata"]["name"] = job["metadata"].pop("generateName") + "x7k2q"
        found.append(job)
    return found

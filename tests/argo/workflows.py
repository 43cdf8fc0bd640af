"""The example workflows, and what Argo would make of them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.project import PROJECT

WORKFLOWS = sorted(file for file in (PROJECT / "examples" / "argo").glob("*.yaml") if file.stem != "rbac")

Object = dict[str, Any]


def fill_in(text: str, workflow: Object) -> str:
    """The text of a template as Argo hands it to the step: parameters of the workflow in their places."""
    values = {
        f"workflow.parameters.{one['name']}": one["value"]
        for one in workflow["spec"].get("arguments", {}).get("parameters", [])
    } | {"workflow.uid": "0b8e7c1e-6d0c-4c59-8f4e-2f7a0d6b1a11", "workflow.name": "daily-events-x7k2q"}

    def value(match: re.Match[str]) -> str:
        return str(values[match[1].strip()])

    return re.sub(r"\{\{(.*?)\}\}", value, text)


def steps(workflow: Object) -> list[Object]:
    """Its resource steps."""
    return [template["resource"] for template in workflow["spec"]["templates"] if "resource" in template]


def shuffle_jobs(workflow: Object) -> list[Object]:
    """The jobs that its steps create; a generated name is finished as the API server does it."""
    found: list[Object] = []
    for step in steps(workflow):
        job = yaml.safe_load(fill_in(step["manifest"], workflow))
        if "generateName" in job["metadata"]:
            job["metadata"]["name"] = job["metadata"].pop("generateName") + "x7k2q"
        found.append(job)
    return found

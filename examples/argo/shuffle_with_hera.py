"""A workflow in Python, by hera: a ShuffleJob of the Python API between two other steps.

python shuffle_with_hera.py | kubectl create -f -
"""

from __future__ import annotations

import sys

from hera.workflows import DAG, Container, Parameter, Resource, Workflow
from hera.workflows.models import ValueFrom

from shuffle_operator import read_parquet, storage

lake = storage("s3-credentials")  # the name of a Secret
job = (
    read_parquet("{{workflow.parameters.bucket}}/raw/", storage=lake)
    .sort("ts", "event_id")
    .write_parquet("{{workflow.parameters.bucket}}/sorted/", storage=lake, on_existing="Overwrite")
    .named("sort-events")
    .with_workers(replicas=4)
    .configure(active_deadline_seconds=10_800)
)
manifest = job.to_yaml().replace("  name: sort-events", "  generateName: sort-events-", 1)  # one for each attempt

with Workflow(
    generate_name="daily-events-",
    entrypoint="main",
    service_account_name="shuffle-workflow",
    arguments=[Parameter(name="bucket", value="s3://bucket")],
) as workflow:
    collect = Container(name="collect", image="example.com/collect:1", args=["{{workflow.parameters.bucket}}/raw/"])
    sort = Resource(
        name="sort",
        action="create",
        set_owner_reference=True,
        success_condition="status.phase == Complete",
        failure_condition="status.phase == Failed",
        manifest=manifest,
        outputs=[Parameter(name="output", value_from=ValueFrom(json_path="{.status.output.path}"))],
    )
    report = Container(
        name="report",
        image="example.com/report:1",
        inputs=[Parameter(name="sorted")],
        args=["{{inputs.parameters.sorted}}"],
    )
    with DAG(name="main"):
        first = collect(name="collect")
        second = sort(name="sort")
        last = report(name="report", arguments={"sorted": "{{tasks.sort.outputs.parameters.output}}"})
        first >> second >> last

if __name__ == "__main__":
    sys.stdout.write(workflow.to_yaml())

"""The task in a workflow: what is registered, and what happens where it is run locally."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flytekit import task, workflow
from flytekit.exceptions.user import FlyteUserException
from flytekit.types.structured.structured_dataset import StructuredDataset

from shuffle_operator.flyte import ShuffleJobConfig, ShuffleJobTask
from shuffle_operator.flyte.local import local_job
from shuffle_operator.kube.api import JOBS
from tests.flyte.executions import SPEC, template
from tests.operator.api_server import ApiServer

LOCAL = {
    "operation": {"sort": {"by": [{"column": "n", "order": "Descending"}]}},
    "inputs": [{"path": "{{ .inputs.source }}", "storage": {"secretRef": {"name": "s3-credentials"}}}],
    "output": {"path": "{{ .inputs.target }}", "partitions": 2},
    "workers": {"replicas": 2, "resources": {"limits": {"memory": "512Mi"}}},
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        pq.write_table(pa.table({"n": list(range(number * 50, number * 50 + 50))}), folder / f"{number}.parquet")
    return folder


def test_what_is_registered() -> None:
    registered = template()
    assert registered.type == "shuffle_job"
    assert registered.container is None
    assert registered.custom["kind"] == "ShuffleJob"
    assert list(registered.interface.outputs) == ["output"]


def test_flytekit_finds_the_plugin_by_itself() -> None:
    (entry,) = [each for each in entry_points(group="flytekit.plugins") if each.name == "shuffle"]
    assert entry.value == "shuffle_operator.flyte"
    program = (
        "import sys, flytekit; from flytekit.extend.backend.base_connector import ConnectorRegistry as R; "
        "print(R.get_connector('shuffle_job').name, sorted({'kubernetes', 'kopf', 'aiohttp.web'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "ShuffleJob Connector []\n"


def test_a_workflow_runs_on_this_machine(source: Path, tmp_path: Path) -> None:
    sort = ShuffleJobTask(
        name="sort-on-this-machine", task_config=ShuffleJobConfig(LOCAL), inputs={"source": str, "target": str}
    )

    @task
    def read(sorted_rows: StructuredDataset) -> list[int]:
        found: list[int] = sorted_rows.open(pa.Table).all()["n"].to_pylist()
        return found

    @workflow
    def whole(source: str, target: str) -> list[int]:
        return read(sorted_rows=sort(source=source, target=target).output)  # type: ignore[return-value]

    target = tmp_path / "out"
    assert whole(source=f"{source}/", target=f"{target}/") == list(range(99, -1, -1))
    assert (target / "_SUCCESS").exists()
    assert len(list(target.glob("part-*.parquet"))) == 2


def test_a_dataset_of_another_task_is_an_input(source: Path, tmp_path: Path) -> None:
    sort = ShuffleJobTask(
        name="sort-a-dataset", task_config=ShuffleJobConfig(LOCAL), inputs={"source": StructuredDataset, "target": str}
    )
    rows = StructuredDataset(uri=str(source), file_format="parquet")
    made = sort(source=rows, target=str(tmp_path / "out"))
    assert made.open(pa.Table).all().num_rows == 100


def test_a_job_that_fails_on_this_machine_says_why(tmp_path: Path) -> None:
    sort = ShuffleJobTask(
        name="sort-nothing", task_config=ShuffleJobConfig(LOCAL), inputs={"source": str, "target": str}
    )
    with pytest.raises(FlyteUserException, match=r"InputNotFound: .*no such file"):
        sort(source=str(tmp_path / "nothing"), target=str(tmp_path / "out"))


def test_a_local_run_takes_no_more_than_the_machine_has() -> None:
    spec = SPEC | {"workers": {"replicas": 500, "resources": {"limits": {"memory": "4Ti"}}}}
    job = local_job(ShuffleJobConfig(spec).job("x", {}))
    assert job.workers <= 16
    assert job.memory <= 4 << 30


def test_a_local_run_in_the_cluster(server: ApiServer) -> None:
    """flytekit's own way of running a connector's task locally: create, then get until it is over."""

    def carry_out() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for resource, namespace, name in list(server.kube.objects):
                if resource == JOBS:
                    status = {"phase": "Complete", "output": {"path": "s3://bucket/out/"}}
                    server.kube.objects[resource, namespace, name]["status"] = status
                    return
            time.sleep(0.05)

    operator = threading.Thread(target=carry_out)
    operator.start()
    there = ShuffleJobTask(name="in-the-cluster", task_config=ShuffleJobConfig(SPEC), local="Cluster")
    try:
        assert there().literal.uri == "s3://bucket/out/"
    finally:
        operator.join()
    assert [namespace for _, namespace, _ in server.kube.objects] == ["data"]  # the kubeconfig's

"""The workflows on the page and in examples/flyte run; the page's table is the code's."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from flyteidl.core.execution_pb2 import TaskExecution

from shuffle_operator.client.reasons import FINAL, RETRYABLE
from shuffle_operator.flyte.connector import TASK_TYPE
from shuffle_operator.flyte.phases import PHASES
from tests.project import PROJECT

PAGE = (PROJECT / "docs" / "flyte.md").read_text()


@pytest.fixture
def events(tmp_path: Path) -> str:
    folder = tmp_path / "events"
    folder.mkdir()
    rows = {"user_id": [n % 7 for n in range(100)], "ts": list(range(100, 0, -1)), "event_id": list(range(100))}
    pq.write_table(pa.table(rows), folder / "0.parquet")
    return f"{folder}/"


def test_the_workflow_on_the_page_runs(events: str, tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "flows_on_the_page.py"
    file.write_text(block)
    made: dict[str, Any] = runpy.run_path(str(file), run_name="flows_on_the_page")
    assert made["daily"](source=events, target=f"{tmp_path}/out/") == 7


def test_the_example_runs(events: str, tmp_path: Path) -> None:
    file = PROJECT / "examples" / "flyte" / "daily_events.py"
    made: dict[str, Any] = runpy.run_path(str(file), run_name="daily_events")
    for _ in range(2):  # it replaces its own output
        assert made["daily"](source=events, target=f"{tmp_path}/out/", files=3) == 100
    parts = sorted((tmp_path / "out").glob("part-*.parquet"))
    assert len(parts) == 3
    assert [n for part in parts for n in pq.read_table(part)["ts"].to_pylist()] == list(range(1, 101))


def test_the_table_of_phases_is_the_code() -> None:
    rows = dict(re.findall(r"^\| (.+?) \| `([A-Z_]+)` \|$", PAGE, re.MULTILINE))
    told = {phase: name for key, name in rows.items() for phase in re.findall(r"`(\w+)`", key.partition(":")[0])}
    coded = {phase: TaskExecution.Phase.Name(number) for phase, number in PHASES.items()}
    (retryable,) = [key for key, name in rows.items() if name == "RETRYABLE_FAILED"]
    assert told | {"Failed": "FAILED"} == coded
    assert set(re.findall(r"`(\w+)`", retryable.partition(":")[2])) == RETRYABLE
    assert not FINAL & set(re.findall(r"`(\w+)`", retryable))


def test_flytes_configuration_names_the_task_type() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    configuration = yaml.safe_load(block)
    assert configuration["plugins"]["connector-service"]["supportedTaskTypes"] == [TASK_TYPE]
    assert list(configuration["tasks"]["task-plugins"]["default-for-task-types"]) == [TASK_TYPE]

"""What docs/orchestrators.md shows for Prefect and Dagster runs as it stands."""

from __future__ import annotations

import re
from typing import Any

import dagster as dg
import pytest

from tests.operator.api_server import ApiServer
from tests.operator.finishing import finishing
from tests.project import PROJECT

PAGE = (PROJECT / "docs" / "orchestrators.md").read_text(encoding="utf-8")


def shown(heading: str, tmp_path: Any) -> dict[str, Any]:
    """The names that the code below a heading defines; a file, for Prefect looks at the source."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    file = tmp_path / f"{heading.lower()}_example.py"
    file.write_text(code)
    names: dict[str, Any] = {"__name__": file.stem, "__file__": str(file)}
    exec(compile(code, str(file), "exec", dont_inherit=True), names)  # this module's annotations are texts
    return names


def test_a_flow_of_prefect_makes_a_job_and_returns_its_rows(server: ApiServer, tmp_path: Any) -> None:
    from prefect.testing.utilities import prefect_test_harness

    names = shown("Prefect", tmp_path)
    with finishing(server) as made, prefect_test_harness(server_startup_timeout=90):
        assert names["daily"]("s3://lake/events", "s3://lake/by-user", "2026-01-01") == 7
    assert len(made) == 1
    assert re.fullmatch(r"by-user-[0-9a-f-]{36}", made[0])


def test_an_asset_of_dagster_makes_a_job_for_its_partition(server: ApiServer, tmp_path: Any) -> None:
    names = shown("Dagster", tmp_path)
    with finishing(server) as made:
        done = dg.materialize(
            [names["events_by_user"]],
            partition_key="2026-01-02",
            resources={"lake": names["Lake"](root="s3://lake")},
            instance=dg.DagsterInstance.ephemeral(),
        )
    assert done.success
    (event,) = done.asset_materializations_for_node("events_by_user")
    assert {name: value.value for name, value in event.metadata.items() if name in ("rows", "files")} == {
        "rows": 7,
        "files": 2,
    }
    assert len(made) == 1
    (job,) = [body for (_, _, name), body in server.kube.objects.items() if name == made[0]]
    assert job["spec"]["output"]["path"] == "s3://lake/by-user/2026-01-02/"


@pytest.mark.parametrize("heading", ["Prefect", "Dagster"])
def test_the_page_says_how_a_retry_finds_the_job(heading: str) -> None:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert "adopt=True" in section

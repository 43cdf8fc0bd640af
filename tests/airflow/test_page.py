"""What docs/orchestrators.md shows for Airflow runs as it stands, by Airflow's own runner and its database."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.operator.api_server import ApiServer
from tests.operator.finishing import finishing
from tests.project import PROJECT

SECTION = (PROJECT / "docs" / "orchestrators.md").read_text(encoding="utf-8").partition("\n## Airflow\n")[2]


@pytest.mark.timeout(300)  # four starts of Airflow, of some seconds each where nothing else runs
def test_the_dag_waits_in_the_triggerer_and_hands_its_result_on(server: ApiServer, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", SECTION.partition("\n## ")[0], re.DOTALL)
    assert code.endswith("\nevents_by_user()\n")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "events_by_user.py").write_text(code)
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

    def airflow(*arguments: str) -> str:
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    airflow("db", "migrate")
    airflow("dags", "reserialize")
    with finishing(server) as made:
        said = airflow("dags", "test", "events_by_user", "2026-01-02")
    assert "up_for_retry" not in said.lower()
    assert "7 rows in s3://lake/by-user/2026-01-02/" in said, said[-5000:]
    assert len(made) == 1
    assert made[0].startswith("by-user-")

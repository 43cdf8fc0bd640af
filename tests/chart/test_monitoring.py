"""Alerts and the dashboard: of metrics that there are, with a part of the runbook each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.rendered import CHART, PROJECT, Render

from shuffle_operator.metrics import Began, Metrics, Readings, WorkSums

ALERTS = CHART / "monitoring" / "alerts.yaml"
DASHBOARD = CHART / "monitoring" / "dashboard.json"
RUNBOOK = PROJECT / "docs" / "runbook.md"
SUFFIX = r"(?:_bucket|_count|_sum)?"


def page() -> str:
    """All metrics, each with a value."""
    work = WorkSums(
        bytes=Counter(read=1, sent=1, spilled=1, written=1),
        rows=Counter(read=1, received=1, written=1),
        lost=Counter(failure=1, disruption=1),
        redone=Counter(read=1, resent=1),
        store=Counter(outages=1, seconds=1),
    )
    readings = Readings(
        phases=lambda: Counter(Pending=1),
        work=lambda: work,
        requests=lambda: Counter({("GET", "200"): 1}),
        depth=lambda: 0,
        oldest=lambda: 0.0,
        refused=lambda: 0,
        silent=lambda: 0.0,
        dropped=lambda: 0,
    )
    metrics = Metrics(readings)
    metrics.added()
    metrics.began(0.1)
    metrics.ended(0.1, failed=True)
    metrics.let_go(WorkSums.none(), Began(1.0, 2.0, 3.0))
    metrics.finished("Completed", 10.0)
    metrics.finished("DataError", None)
    return metrics.page().decode()


PAGE = page()


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_there(expression: str) -> None:
    for name, labels in re.findall(r"\b((?:shuffle|controller|workqueue|rest)_\w+)(?:\{([^}]*)\})?", expression):
        lines = [line for line in PAGE.splitlines() if re.match(rf"{name}[ {{]", line)]
        assert lines, f"there is no {name}"
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', labels):
            assert any(f'{label}="' in line for line in lines), f"{name} has no label {label}"
            if operator == "=":
                assert any(f'{label}="{value}"' in line for line in lines), f"{name} has no {label} {value}"
            for each in value.split("|") if operator in ("=~", "!~") else ():
                assert any(f'{label}="{each}"' in line for line in lines), f"{name} has no {label} {each}"


def test_each_alert_has_a_part_of_the_runbook_and_each_part_an_alert() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    assert re.findall(r"^## (Shuffle\w+)$", RUNBOOK.read_text(), re.MULTILINE) == names


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_it_is_and_what(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description"}


def test_every_reason_can_be_seen_to_rise_from_the_start() -> None:
    assert 'shuffle_jobs_finished_total{reason="Completed"} 1.0' in PAGE
    assert 'shuffle_jobs_finished_total{reason="OutOfMemory"} 0.0' in PAGE
    assert 'shuffle_job_duration_seconds_count{result="complete"} 1.0' in PAGE
    assert "shuffle_job_queued_seconds_count 1.0" in PAGE
    assert "shuffle_job_first_worker_seconds_count 1.0" in PAGE
    assert 'shuffle_workers_lost_total{kind="failure"} 1.0' in PAGE


def test_the_chart_carries_both(render: Render) -> None:
    objects = render(
        {"metrics": {"rules": {"enabled": True, "labels": {"release": "p"}}, "dashboard": {"enabled": True}}}
    )
    (rule,) = [one for one in objects if one["kind"] == "PrometheusRule"]
    assert rule["metadata"]["labels"]["release"] == "p"
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    (found,) = [one for one in objects if one["kind"] == "ConfigMap"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["shuffle-operator.json"]) == json.loads(DASHBOARD.read_text())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_takes_the_rules_and_the_metrics(tmp_path: Path) -> None:
    checked = subprocess.run(["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    checked = subprocess.run(["promtool", "check", "metrics"], input=PAGE, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr

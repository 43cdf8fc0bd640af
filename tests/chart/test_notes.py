"""What helm says after an installation: commands that a person copies must work as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.rendered import CHART

from shuffle_operator.api.validation import load_job

SHOWN = """
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data:
  notes: {{ include "notes" . | toJson }}
"""
"""Helm renders notes only where it installs; as a template of their own they are rendered as everything else."""


def notes(helm: Path, folder: Path, values: dict[str, Any]) -> str:
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    text = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    (chart / "templates" / "NOTES.txt").unlink()
    (chart / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + text + "{{ end }}", encoding="utf-8")
    (chart / "templates" / "shown.yaml").write_text(SHOWN, encoding="utf-8")
    command = [str(helm), "template", "release", str(chart), "--namespace=data", "--values=-"]
    command += ["--show-only=templates/shown.yaml"]
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False, env={"HOME": str(folder)}
    )
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["data"]["notes"])


@pytest.mark.parametrize(
    ("values", "namespace"),
    [({}, "data"), ({"namespaces": ["science", "data"]}, "science"), ({"scope": "Cluster"}, "data")],
)
def test_the_first_job_has_credentials_and_goes_where_jobs_are_served(
    helm: Path, tmp_path: Path, values: dict[str, Any], namespace: str
) -> None:
    """The commands are run as they are printed, by a shell, with a kubectl that only writes down how it was called."""
    text = notes(helm, tmp_path, values)
    commands = text[text.index("\nkubectl") : text.index("Is all well?")]
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").write_text('#!/bin/sh\necho "$*" >> calls\n')
    (programs / "kubectl").chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    subprocess.run(["/bin/sh", "-e"], input=commands, text=True, check=True, cwd=work, env=environment)

    calls = (work / "calls").read_text().splitlines()
    assert [call.split()[:3] for call in calls] == [
        ["-n", namespace, "create"], ["-n", namespace, "apply"], ["-n", namespace, "get"]
    ]  # fmt: skip
    secret = re.match(rf"-n {namespace} create secret generic (\S+)", calls[0])
    assert secret is not None
    assert set(re.findall(r"--from-literal=(\w+)=", calls[0])) >= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert calls[1] == f"-n {namespace} apply -f job.yaml"

    job = load_job(work / "job.yaml")
    for storage in (job.spec.inputs[0].storage, job.spec.output.storage):
        assert storage is not None
        assert storage.secret_ref is not None
        assert storage.secret_ref.name == secret[1]

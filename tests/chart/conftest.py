"""helm, and the chart rendered by it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.rendered import CHART, Objects, Refused, Render
from tests.project import script


@pytest.fixture(scope="session")
def helm() -> Path:
    """The program; fetched by pip where the cache has none."""
    module = script("tools/helm.py")
    folder: Path = module.install(module.cache() / "bin")
    return folder / "helm"


@pytest.fixture(scope="session")
def render(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """The chart's objects for values and a version of Kubernetes. Each different call is made once."""
    home = tmp_path_factory.mktemp("helm")
    known: dict[str, Objects] = {}

    def call(values: dict[str, Any] | None = None, kubernetes: str = "1.32.0", crds: bool = False) -> Objects:
        text = json.dumps(values or {})
        key = f"{text} {kubernetes} {crds}"
        if key not in known:
            command = [str(helm), "template", "shuffle-operator", str(CHART), "--namespace=shuffle", "--values=-"]
            command += [f"--kube-version={kubernetes}", *(["--include-crds"] if crds else [])]
            environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                raise Refused(done.stderr)
            known[key] = [document for document in yaml.safe_load_all(done.stdout) if document]
        return known[key]

    return call

"""Jobs: described as a user would, watched, and compared with the same job on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.harness.cluster import PROJECT
from e2e.harness.kubectl import Kubectl, Object
from e2e.harness.process import run
from e2e.harness.s3 import Bucket
from e2e.harness.waiting import until

KIND = "shufflejobs.shuffle-operator.dev"
SECRET = "s3-credentials"
OVER = ("Complete", "Failed")

REPARTITION: dict[str, Any] = {"repartition": {"by": ["user_id"]}}
SORT: dict[str, Any] = {"sort": {"by": [{"column": "ts"}, {"column": "event_id", "order": "Descending"}]}}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps within maps; anything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def manifest(name: str, operation: Mapping[str, Any], source: str, target: str, **spec: Any) -> Object:
    """A job; `spec` is merged over what every job here has."""
    base = {
        "operation": operation,
        "inputs": [{"path": source}],
        "output": {"path": target, "partitions": 12},
        "workers": {
            "replicas": 3,
            "resources": {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
            "scratch": {"sizeLimit": "2Gi"},
        },
    }
    return {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": name},
        "spec": merged(base, spec),
    }


@dataclass
class Job:
    """A job on the cluster. output: where it writes to, within the bucket."""

    name: str
    output: str
    kubectl: Kubectl
    bucket: Bucket

    @property
    def object(self) -> Object:
        found = self.kubectl.get(KIND, self.name)
        assert found is not None, f"there is no job {self.name}"
        return found

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.object.get("status") or {}
        return found

    @property
    def phase(self) -> str:
        return str(self.status.get("phase") or "")

    def pods(self) -> list[Object]:
        """Its workers' pods that are not on their way out, in the order of their indices."""
        found = self.kubectl.list("pods", f"shuffle-operator.dev/job={self.name}")
        there = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(there, key=lambda pod: int(pod["metadata"]["labels"]["shuffle-operator.dev/worker"]))

    def running(self) -> list[Object]:
        return [pod for pod in self.pods() if pod["status"]["phase"] == "Running"]

    def until_phase(self, *phases: str, seconds: float = 180, every: float = 0.3) -> dict[str, Any]:
        """The status when it first is in one of the phases. A job that is over, and should not be, ends the wait."""

        def look() -> dict[str, Any] | None:
            status = self.status
            phase = status.get("phase")
            assert phase in phases or phase not in OVER, f"{self.name} is {phase} already: {status.get('message')}"
            return status if phase in phases else None

        return until(f"{self.name} is {' or '.join(phases)}", look, seconds=seconds, every=every, said=self.told)

    def until_over(self, seconds: float = 300) -> dict[str, Any]:
        return self.until_phase(*OVER, seconds=seconds, every=1)

    def complete(self, seconds: float = 300) -> dict[str, Any]:
        """Waits for the end, which must be a good one."""
        status = self.until_over(seconds)
        assert status["phase"] == "Complete", self.told()
        return status

    def failed(self, reason: str, seconds: float = 300) -> dict[str, Any]:
        """Waits for the end, which must be this one."""
        status = self.until_over(seconds)
        assert status["phase"] == "Failed", self.told()
        assert self.condition("Failed")["reason"] == reason, self.told()
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        found = [c for c in self.status.get("conditions") or () if c["type"] == kind]
        return dict(found[0]) if found else {}

    def events(self) -> list[str]:
        """What was said about it: reason and message."""
        found = self.kubectl.list("events")
        return [f"{e['reason']}: {e['message']}" for e in found if e["involvedObject"].get("name") == self.name]

    def told(self) -> str:
        """For an error message."""
        return self.kubectl("describe", KIND, self.name, check=False) + self.kubectl("get", "pods", check=False)

    def files(self) -> list[dict[str, Any]]:
        """What the manifest says of every file: name, rows, bytes, checksum, smallest and largest key."""
        names = self.bucket.names(self.output)
        assert "_SUCCESS" in names, names
        found: list[dict[str, Any]] = self.bucket.json(f"{self.output}_manifest.json")["files"]
        assert sorted(file["name"] for file in found) == [name for name in names if not name.startswith("_")]
        return found

    def seconds(self) -> float:
        """From its creation to now."""
        created = time.strptime(self.object["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")
        return time.time() - time.mktime(created) + time.timezone


def run_here(document: Object, source: Path, work: Path) -> list[dict[str, Any]]:
    """The same job by `shuffle run` on this machine, from local files to local files: its manifest's files."""
    local = json.loads(json.dumps(document))
    spec = local["spec"]
    spec["inputs"] = [{**spec["inputs"][0], "path": f"{source}/"}]
    spec["inputs"][0].pop("storage", None)
    spec["output"]["path"] = f"{work}/output/"
    spec["output"].pop("storage", None)
    spec["workers"] = {"replicas": 1}
    work.mkdir(parents=True, exist_ok=True)
    file = work / "job.yaml"
    file.write_text(yaml.safe_dump(local))
    run([PROJECT / ".venv" / "bin" / "shuffle", "run", file, "--quiet", "--memory", "1Gi"], timeout=600)
    found: list[dict[str, Any]] = json.loads((work / "output" / "_manifest.json").read_text())["files"]
    return found

"""Figures of the operator on the local cluster, for docs/operator.md: `python -m e2e.measure [WHAT...]`, of

    idle    the operator's memory with nothing to do
    start   from `kubectl apply` to the first row that is moved, step by step
    burst   jobs that are submitted at once (BURST=500), each with a pod of its own that finds no input
    many    jobs that are refused, and stay (MANY=2000): memory and handles on the way, and after a restart

Uses the cluster that is up, or makes one; it stays up. `burst` takes as long as the machine needs to start the pods.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from e2e.conftest import secret
from e2e.harness import cluster as clusters
from e2e.harness.cluster import Cluster
from e2e.harness.faults import Faults
from e2e.harness.jobs import KIND, REPARTITION, SECRET, manifest
from e2e.harness.kubectl import Kubectl
from e2e.harness.operator import Operator
from e2e.harness.s3 import Bucket
from e2e.harness.waiting import until

BATCH = 100


class Bench:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.operator = Operator(cluster)
        self.operator.install()
        self.bucket = Bucket("shuffle-e2e", cluster.storage)

    def process(self) -> str:
        """The operator's memory, threads and file handles."""
        pid = Faults(self.cluster).process(self.operator.pod())
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        handles = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        mib = int(lines["VmRSS"].split()[0]) / 1024
        peak = int(lines["VmHWM"].split()[0]) / 1024
        return f"{mib:.0f} MiB (peak {peak:.0f}), {int(lines['Threads'])} threads, {handles} file handles"

    @contextmanager
    def namespace(self, name: str) -> Iterator[Kubectl]:
        kubectl = self.cluster.kubectl.within(name)
        kubectl("create", "namespace", name)
        kubectl.apply(secret(self.cluster.storage))
        try:
            yield kubectl
        finally:
            kubectl("delete", "namespace", name, "--wait=false")
            until(f"{name} is gone", lambda: kubectl.get("namespace", name) is None, seconds=600, every=2)

    def job(self, kubectl: Kubectl, name: str, source: str = "events/", **spec: Any) -> dict[str, Any]:
        target = self.bucket.url(f"{kubectl.namespace}/{name}/")
        document = manifest(name, REPARTITION, self.bucket.url(source), target, **spec)
        storage = {"secretRef": {"name": SECRET}, "endpoint": self.bucket.storage.inside}
        for part in (document["spec"]["inputs"][0], document["spec"]["output"]):
            part["storage"] = storage
        return document

    def requests(self, since: Counter[str]) -> dict[str, int]:
        """To the API server, by method, since an earlier count."""
        return {kind: int(count - since[kind]) for kind, count in sorted(self.counted().items()) if count > since[kind]}

    def counted(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for name, value in self.operator.metrics().items():
            if name.startswith("rest_client_requests_total"):
                counts[name.partition('method="')[2].partition('"')[0]] += int(value)
        return counts

    # -- what is measured --------------------------------------------------------------------------------------------

    def idle(self) -> None:
        time.sleep(20)
        print(f"idle: {self.process()}")

    def start(self, times: int = 5) -> None:
        steps: dict[str, list[float]] = {}
        with self.namespace("measure-start") as kubectl:
            for number in range(times):
                name = f"start-{number}"
                document = self.job(kubectl, name, podRetention="Always")
                before = time.time()
                kubectl.apply(document)
                steps.setdefault("kubectl has returned", []).append(time.time() - before)
                until(f"{name} is complete", lambda name=name: _phase(kubectl, name) == "Complete", seconds=200)
                for step, moment in self._moments(kubectl, name):
                    steps.setdefault(step, []).append(moment - before)
                time.sleep(5)
        for step, found in steps.items():
            print(f"start: {step}: median {statistics.median(found):.2f} s, largest {max(found):.2f} s")

    def _moments(self, kubectl: Kubectl, name: str) -> Iterator[tuple[str, float]]:
        created = []
        for line in (self.cluster.state / "log" / "audit.log").read_text().splitlines():
            entry = json.loads(line)
            about = entry.get("objectRef") or {}
            which = (about.get("resource"), about.get("namespace"), entry["verb"])
            if which == ("pods", kubectl.namespace, "create") and about.get("name", "").startswith(f"{name}-w-"):
                created.append(_time(entry["requestReceivedTimestamp"]))
        yield "all pods are created", max(created)
        registered, planned, moved = [], [], []
        for pod in kubectl.list("pods", f"shuffle-operator.dev/job={name}"):
            for line in kubectl("logs", pod["metadata"]["name"]).splitlines():
                said = json.loads(line)
                at = _time(said["time"])
                if said["message"].startswith("registered"):
                    registered.append(at)
                if said.get("lease", "").startswith("plan"):
                    planned.append(at)
                if said.get("lease", "").startswith("transfer"):
                    moved.append(at - float(said["message"].split()[2]))
        yield "the first worker is registered", min(registered)
        yield "the last worker is registered", max(registered)
        yield "the plan is made", min(planned)
        yield "the first split is read", min(moved)

    def burst(self, count: int) -> None:
        small = {
            "replicas": 1,
            "resources": {"requests": {"cpu": "10m", "memory": "200Mi"}, "limits": {"memory": "256Mi"}},
        }
        with self.namespace("measure-burst") as kubectl:
            before = self.counted()
            start = time.monotonic()
            jobs = [self.job(kubectl, f"burst-{n}", "nothing-here/", workers=small) for n in range(count)]
            for at in range(0, count, BATCH):
                kubectl.apply(*jobs[at : at + BATCH])
            print(f"burst: {count} jobs submitted in {time.monotonic() - start:.0f} s")
            self._until(kubectl, count, lambda phase: phase != "", 300)
            print(f"burst: all are picked up after {time.monotonic() - start:.0f} s; {self.process()}")
            self._until(kubectl, count, lambda phase: phase in ("Complete", "Failed"), 3600)
            print(f"burst: all are over after {time.monotonic() - start:.0f} s; {self.process()}")
            print(f"burst: requests of the operator: {self.requests(before)}")
        time.sleep(20)
        print(f"burst: afterwards: {self.process()}")

    def many(self, count: int) -> None:
        with self.namespace("measure-many") as kubectl:
            before = self.counted()
            for at in range(0, count, BATCH):
                documents = []
                for number in range(at, at + BATCH):
                    document = self.job(kubectl, f"many-{number}")
                    document["spec"]["operation"]["sort"] = {"by": [{"column": "ts"}]}  # two operations
                    documents.append(document)
                kubectl.apply(*documents)
                if (at + BATCH) % 500 == 0:
                    self._until(kubectl, at + BATCH, lambda phase: phase == "Failed", 120)
                    print(f"many: {at + BATCH} jobs refused: {self.process()}")
            print(f"many: requests of the operator: {self.requests(before)}")
            before = self.counted()
            time.sleep(30)
            print(f"many: requests in 30 s with nothing to do: {self.requests(before)}; {self.process()}")
            old = self.operator.pod()["metadata"]
            self.operator.kubectl.delete("pod", old["name"])
            start = time.monotonic()
            until("another operator", lambda: self.operator.pod()["metadata"]["uid"] != old["uid"], seconds=120)
            print(f"many: a new operator is ready after {time.monotonic() - start:.1f} s; {self.process()}")
            kubectl("delete", KIND, "--all", "--wait=false", timeout=600)
        time.sleep(10)
        print(f"many: when they are deleted: {self.process()}")

    def _until(self, kubectl: Kubectl, count: int, holds: Callable[[str], bool], seconds: float) -> None:
        def all_of_them() -> bool:
            text = kubectl("get", KIND, '--output=jsonpath={range .items[*]}{.status.phase}{"\\n"}{end}')
            phases = text.split("\n")[:-1]
            return len(phases) == count and all(holds(phase) for phase in phases)

        until(f"{count} jobs", all_of_them, seconds=seconds, every=1)


def _phase(kubectl: Kubectl, name: str) -> str:
    found = kubectl.get(KIND, name) or {}
    return str((found.get("status") or {}).get("phase", ""))


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main(wanted: list[str]) -> None:
    bench = Bench(clusters.start())
    for name in wanted or ["idle", "start", "many", "burst"]:
        if name == "burst":
            bench.burst(int(os.environ.get("BURST", "500")))
        elif name == "many":
            bench.many(int(os.environ.get("MANY", "2000")))
        else:
            getattr(bench, name)()


if __name__ == "__main__":
    main(sys.argv[1:])

"""The cluster, its storage with events in it, the chart installed; a namespace and jobs for each test."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tools import helm as programs

from e2e.harness import cluster as clusters
from e2e.harness.cluster import PROJECT, Cluster, Storage
from e2e.harness.faults import Faults
from e2e.harness.jobs import KIND, SECRET, Job, manifest, run_here
from e2e.harness.kubectl import Kubectl, Object
from e2e.harness.operator import NAMESPACE, Operator
from e2e.harness.process import run
from e2e.harness.s3 import Bucket
from e2e.harness.waiting import until

EVENTS = os.environ.get("E2E_EVENTS", "100M")
"""Size of the input."""

Submit = Callable[..., Job]
Compare = Callable[[Job], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600, func_only=True))  # setting up has limits of its own


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" and report.failed:
        item.stash[FAILED] = True


FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """E2E_KEEP=1 leaves the local one up, for the next run to start at once."""
    found = clusters.start()
    yield found
    if found.local and not os.environ.get("E2E_KEEP"):
        clusters.stop()


@pytest.fixture
def faults(cluster: Cluster) -> Faults:
    if not cluster.local:
        pytest.skip("needs the nodes of the local cluster")
    return Faults(cluster)


@pytest.fixture
def slowly(faults: Faults) -> Iterator[None]:
    """Rows travel slowly, so that phases last long enough to be hit."""
    with faults.slow():
        yield


@pytest.fixture(scope="session")
def events() -> Path:
    """A folder of Parquet files, the demo's."""
    folder = programs.cache() / "events" / EVENTS
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:  # another run may be making them
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make_events(folder)
    return folder


def _make_events(folder: Path) -> None:
    run([PROJECT / ".venv/bin/python", PROJECT / "examples/demo/make_events.py", "--size", EVENTS, folder], timeout=900)


@pytest.fixture(scope="session")
def bucket(cluster: Cluster, events: Path) -> Bucket:
    """With the events below events/."""
    found = Bucket("shuffle-e2e", cluster.storage)
    found.upload(events, "events/")
    return found


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Iterator[Operator]:
    """The chart, installed by helm for all namespaces."""
    found = Operator(cluster)
    found.install()
    yield found
    if not cluster.local:
        cluster.helm("uninstall", "shuffle-operator", "--namespace", NAMESPACE)


@pytest.fixture
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, operator: Operator) -> Iterator[Kubectl]:
    """In a namespace of the test's own, with the storage's credentials in a Secret. It goes away with everything in it,
    whatever state a job was left in."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    name = f"e2e-{words[:40].strip('-')}-{hashlib.sha256(os.urandom(8)).hexdigest()[:5]}"
    found = cluster.kubectl.within(name)
    found("create", "namespace", name)
    found.apply(secret(cluster.storage))
    yield found
    if request.node.stash.get(FAILED, False):
        _tell(found, operator)
    found("delete", "namespace", name, "--wait=false", "--ignore-not-found")
    until(f"namespace {name} is gone", lambda: found.get("namespace", name) is None, seconds=180, every=1)


def secret(storage: Storage) -> Object:
    """With the storage's credentials."""
    keys = {"AWS_ACCESS_KEY_ID": storage.key, "AWS_SECRET_ACCESS_KEY": storage.secret}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data}


def _tell(kubectl: Kubectl, operator: Operator) -> None:
    """What one wants to see when a test failed."""
    out = sys.stderr.write
    for arguments in (["describe", KIND], ["get", "pods", "--output=wide"], ["get", "events"]):
        out(f"\n--- kubectl {' '.join(arguments)}\n{kubectl(*arguments, check=False)}")
    for pod in kubectl.list("pods"):
        name = pod["metadata"]["name"]
        out(f"\n--- logs of {name}\n{kubectl('logs', name, '--tail=30', check=False)}")
    out(f"\n--- logs of the operator\n{operator.logs(lines=80)}")


@pytest.fixture
def submit(kubectl: Kubectl, bucket: Bucket) -> Iterator[Submit]:
    """Creates a job from the events, as by `kubectl apply`."""
    written: list[str] = []

    def create(name: str, operation: dict[str, Any], **spec: Any) -> Job:
        output = f"{kubectl.namespace}/{name}/"
        document = manifest(name, operation, bucket.url("events/"), bucket.url(output), **spec)
        storage = {"secretRef": {"name": SECRET}, "endpoint": bucket.storage.inside}
        for part in (document["spec"]["inputs"][0], document["spec"]["output"]):
            part.setdefault("storage", storage)
        kubectl.apply(document)
        written.append(output)
        return Job(name, output, kubectl, bucket)

    yield create
    for output in written:
        bucket.remove(output)


@pytest.fixture(scope="session")
def expected(events: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Object], list[dict[str, Any]]]:
    """The files that the same job makes on this machine; each different one is run once."""
    known: dict[str, list[dict[str, Any]]] = {}

    def find(document: Object) -> list[dict[str, Any]]:
        spec = document["spec"]
        parts = {"operation": spec["operation"], "output": {**spec["output"], "path": "", "storage": ""}}
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        if key not in known:
            known[key] = run_here(document, events, tmp_path_factory.mktemp("here"))
        return known[key]

    return find


@pytest.fixture
def as_local(expected: Callable[[Object], list[dict[str, Any]]]) -> Compare:
    """Asserts that a job's output is byte for byte that of the same job on this machine."""

    def compare(job: Job) -> None:
        document = job.object
        local = {"metadata": {"name": "here"}, "apiVersion": document["apiVersion"], "kind": document["kind"]}
        spec = {key: document["spec"][key] for key in ("operation", "inputs", "output")}
        assert job.files() == expected({**local, "spec": spec})

    return compare

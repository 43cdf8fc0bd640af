"""What a person does with the cluster that `make cluster` leaves up: the commands, as they are typed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from e2e.harness.cluster import PROJECT, SCRIPTS, Cluster
from e2e.harness.process import run
from e2e.harness.s3 import Bucket

BUCKET = "shuffle-e2e"
EVENTS = "demo/events/"
"""Where the demo's events are in the bucket. The tests have others of their own, below events/."""
SIZE = "20M"
NAMESPACE = "data"
JOB = "examples/kubernetes/on-this-machine.yaml"
OUTPUT = "demo/events-by-user/"
"""Where that job writes to in the bucket."""


def fill(bucket: Bucket, cache: Path, size: str = SIZE) -> None:
    """Puts the demo's events into the bucket. They are made once, in a folder of the cache."""
    folder = cache / "events" / size
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f"{size}.{os.getpid()}")  # another run may be making them
        run(
            [PROJECT / ".venv/bin/python", PROJECT / "examples/demo/make_events.py", "--size", size, partial],
            timeout=300,
        )
        if not folder.is_dir():
            partial.rename(folder)
    bucket.upload(folder, EVENTS)


def values(image: str) -> dict[str, str]:
    """An image with registry and tag, as the chart's values."""
    registry, _, rest = image.rpartition("/")
    repository, _, tag = rest.partition(":")
    return {"image.registry": registry, "image.repository": repository, "image.tag": tag}


def commands(cluster: Cluster, environment: Mapping[str, str]) -> dict[str, str]:
    """What is typed for each purpose, in order. environment: the one that the cluster was made with."""
    storage = cluster.storage
    keys = {"AWS_ACCESS_KEY_ID": storage.key, "AWS_SECRET_ACCESS_KEY": storage.secret}
    setting = ",".join(f"{name}={value}" for name, value in values(cluster.image).items())
    literals = " ".join(f"--from-literal={name}={value}" for name, value in keys.items())
    variables = " ".join(f"{name}={value}" for name, value in {**keys, "AWS_ENDPOINT_URL": storage.outside}.items())
    listing = f"import s3fs; print(*s3fs.S3FileSystem().ls('{BUCKET}/{OUTPUT}'), sep='\\n')"
    own = "".join(f"{name}={environment[name]} " for name in ("E2E_NAME", "E2E_STATE") if environment.get(name))
    return {
        "Use the cluster": f"export KUBECONFIG={cluster.kubeconfig} PATH={cluster.programs}:$PATH",
        "Install the operator": (
            f"helm install shuffle-operator charts/shuffle-operator --namespace {NAMESPACE} --create-namespace \\\n"
            f"  --wait --set {setting}"
        ),
        "Store the credentials": (
            f"kubectl --namespace {NAMESPACE} create secret generic s3-credentials \\\n  {literals}"
        ),
        "Run a job": (
            f"kubectl --namespace {NAMESPACE} apply -f {JOB}\n"
            f"kubectl --namespace {NAMESPACE} wait --for=condition=Finished shj/on-this-machine --timeout=5m\n"
            f"kubectl --namespace {NAMESPACE} get shj"
        ),
        "See what it wrote": f'{variables} \\\n  .venv/bin/python -c "{listing}"',
        "Take the cluster down": f"{own}{(SCRIPTS / 'down.sh').relative_to(PROJECT)}",
    }


def guide(cluster: Cluster, environment: Mapping[str, str]) -> str:
    """All that is needed to go on."""
    storage = cluster.storage
    facts = {
        "image": f"{cluster.image}, on every node",
        "helm values": " ".join(f"{name}={value}" for name, value in values(cluster.image).items()),
        "S3 for pods": storage.inside,
        "S3 from here": storage.outside,
        "bucket": f"{BUCKET}, with {SIZE[:-1]} MB of events below {EVENTS}",
        "credentials": f"AWS_ACCESS_KEY_ID={storage.key} AWS_SECRET_ACCESS_KEY={storage.secret}",
    }
    lines = [f"  {name:13} {fact}" for name, fact in facts.items()]
    for purpose, typed in commands(cluster, environment).items():
        lines += ["", f"{purpose}:", "", *(f"  {line}" for line in typed.splitlines())]
    return "\n".join([f"The cluster is up, and stays up. The commands are for the folder {PROJECT}.", "", *lines])

"""The cluster under test: one that KUBECONFIG names, or the local one that the scripts in e2e/cluster make."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tools import helm as programs

from e2e.harness.kubectl import Kubectl
from e2e.harness.process import run

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "e2e" / "cluster"
LOCAL_IMAGE = "localhost/shuffle-operator:e2e"


@dataclass(frozen=True)
class Storage:
    """An S3 server. inside, outside: its address for pods and for this process."""

    inside: str
    outside: str
    key: str
    secret: str


@dataclass(frozen=True)
class Cluster:
    """local: made by our scripts, so that its nodes can be got at, and broken."""

    kubeconfig: Path
    programs: Path
    image: str
    storage: Storage
    local: bool
    state: Path = Path(os.environ.get("E2E_STATE", "/var/lib/shuffle-e2e"))

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.programs / "kubectl", self.kubeconfig)

    def helm(self, *arguments: str, timeout: float = 300) -> str:
        return run([self.programs / "helm", "--kubeconfig", self.kubeconfig, *arguments], timeout=timeout)

    def node(self, action: str, node: str, *arguments: str) -> str:
        """start, stop, cut, mend or exec of e2e/cluster/node.sh."""
        assert self.local
        return run([SCRIPTS / "node.sh", action, node.removeprefix("n"), *arguments])


def start() -> Cluster:
    """Everything up: takes about a minute where binaries and images are in the cache, ten where they are not."""
    folder = programs.install(programs.cache() / "bin")
    if given := os.environ.get("KUBECONFIG"):
        return _given(Path(given), folder)
    run([SCRIPTS / "up.sh"], timeout=3000)
    archive = run([SCRIPTS / "image.sh", "build", LOCAL_IMAGE], timeout=1200).strip()
    inside = run([SCRIPTS / "s3.sh"], timeout=900).strip()
    run([SCRIPTS / "image.sh", "load", archive], timeout=600)
    outside = f"http://127.0.0.1:{os.environ.get('E2E_S3_PORT', '27480')}"
    storage = Storage(inside, outside, "shuffle", "shuffle-secret")
    kubeconfig = Path(os.environ.get("E2E_STATE", "/var/lib/shuffle-e2e")) / "admin.kubeconfig"
    return Cluster(kubeconfig, folder, LOCAL_IMAGE, storage, local=True)


def _given(kubeconfig: Path, folder: Path) -> Cluster:
    needed = ("E2E_IMAGE", "E2E_S3_INSIDE", "E2E_S3_OUTSIDE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        raise SystemExit(f"With KUBECONFIG, set {', '.join(missing)} too: see e2e/README.md")
    image, inside, outside, key, secret = (os.environ[name] for name in needed)
    return Cluster(kubeconfig, folder, image, Storage(inside, outside, key, secret), local=False)


def stop() -> None:
    """Takes the local cluster down."""
    run([SCRIPTS / "down.sh"], timeout=300)


if __name__ == "__main__":  # `make cluster`
    up = start()
    print(f"export KUBECONFIG={up.kubeconfig} PATH={up.programs}:$PATH")
    print(f"# image {up.image}; S3 for pods {up.storage.inside}, from here {up.storage.outside}")

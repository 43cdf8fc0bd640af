"""The cluster under test: one that KUBECONFIG names, or the local one that the scripts in e2e/cluster make."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tools import helm as programs

from e2e.harness.kubectl import Kubectl
from e2e.harness.process import run
from e2e.harness.progress import Progress, Step

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
    state: Path = field(default_factory=lambda: _state())

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.programs / "kubectl", self.kubeconfig)

    def helm(self, *arguments: str, timeout: float = 300) -> str:
        return run([self.programs / "helm", "--kubeconfig", self.kubeconfig, *arguments], timeout=timeout)

    def node(self, action: str, node: str, *arguments: str) -> str:
        """start, stop, cut, mend or exec of e2e/cluster/node.sh."""
        assert self.local
        return run([SCRIPTS / "node.sh", action, node.removeprefix("n"), *arguments])

    def s3(self, *arguments: str) -> str:
        """e2e/cluster/s3.sh: `away` ends the server, nothing starts it."""
        assert self.local
        return run([SCRIPTS / "s3.sh", *arguments])


def start() -> Cluster:
    """KUBECONFIG's cluster, or the local one, made where it is not up: see `make`."""
    given = os.environ.get("KUBECONFIG")
    if given and Path(given) != admin():
        return _given(Path(given), programs.install(programs.cache() / "bin"))
    return make(progress())


def make(told: Progress) -> Cluster:
    """The local one, everything up: about a minute where programs and images are in the cache, ten where not."""
    told.next()
    folder = programs.install(programs.cache() / "bin")
    told.next()
    told.run([SCRIPTS / "build.sh"], timeout=2700)
    told.next()
    told.run([SCRIPTS / "up.sh"], timeout=600)
    told.next()
    archive = told.run([SCRIPTS / "image.sh", "build", LOCAL_IMAGE], timeout=1200).strip()
    told.next()
    inside = told.run([SCRIPTS / "s3.sh"], timeout=900).strip()
    told.next()
    told.run([SCRIPTS / "image.sh", "load", archive], timeout=600)
    outside = f"http://127.0.0.1:{os.environ.get('E2E_S3_PORT', '27480')}"
    storage = Storage(inside, outside, "shuffle", "shuffle-secret")
    return Cluster(admin(), folder, LOCAL_IMAGE, storage, local=True)


def progress(*further: Step) -> Progress:
    """The steps of `make`, and further ones. How long they take depends on what the cache has already."""
    cache = programs.cache()
    has = {name: (cache / "bin" / name).exists() for name in ("helm", "VERSION")}
    layers = any((cache / "image").glob("deps-*.tar"))
    ceph = shutil.which("radosgw") is not None
    return Progress(
        [
            Step("fetch helm and kubectl", 0 if has["helm"] else 20),
            Step("Kubernetes from the cache" if has["VERSION"] else "compile Kubernetes", 1 if has["VERSION"] else 450),
            Step("start the control plane and the nodes", 25 if has["VERSION"] else 50),
            Step(f"build the image {LOCAL_IMAGE}", 15 if layers else 60),
            Step("start the S3 server" if ceph else "install and start the S3 server", 10 if ceph else 45),
            Step("load the image into the nodes", 8),
            *further,
        ]
    )


def admin() -> Path:
    """The local cluster's kubeconfig; there is none before it is made."""
    return _state() / "admin.kubeconfig"


def _state() -> Path:
    return Path(os.environ.get("E2E_STATE", "/var/lib/shuffle-e2e"))


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

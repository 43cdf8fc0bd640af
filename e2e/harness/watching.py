"""What a person sees of a namespace's jobs: every change of their status, as `kubectl get --watch` shows it."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from e2e.harness.jobs import KIND
from e2e.harness.kubectl import Kubectl

SEEN = {
    "phase": ".status.phase",
    "progress": ".status.progress",
    "ready": ".status.workers.ready",
    "lost": ".status.workers.lost",
    "replaced": ".status.workers.replaced",
    "started": ".status.startTime",
    "message": ".status.message",
}
NOTHING = "<none>"


@dataclass(frozen=True)
class Line:
    """A job's status at one moment. at: seconds since the watch began. What is not there is ""."""

    at: float
    job: str
    phase: str
    progress: int
    lost: int
    replaced: int
    started: str
    message: str

    def __str__(self) -> str:
        counts = f"lost {self.lost}, replaced {self.replaced}"
        return f"{self.at:6.1f} s  {self.job:12} {self.phase or '-':12} {self.progress:3} %  {counts}  {self.message}"


@dataclass
class Watch:
    """lines: of every job, in the order in which they came. pods: when each was made, by its name."""

    lines: list[Line] = field(default_factory=list)
    pods: dict[str, str] = field(default_factory=dict)

    def of(self, job: str) -> list[Line]:
        return [line for line in self.lines if line.job == job]

    def messages(self, job: str) -> list[str]:
        """Each one once, in the order in which they came."""
        return list(dict.fromkeys(line.message for line in self.of(job) if line.message))

    def tell(self, kubectl: Kubectl) -> None:
        """Prints what was seen, and every event about a job."""
        before: dict[str, tuple[str, str]] = {}
        for line in self.lines:
            if before.get(line.job) != (line.phase, line.message):
                print(line)
            before[line.job] = (line.phase, line.message)
        print("events:")
        for event in kubectl.list("events"):
            about = event["involvedObject"]
            if about["kind"] == "ShuffleJob":
                print(f"  {event['type']:8} {about['name']:12} {event['reason']}: {event['message']}")


def _number(text: str) -> int:
    return 0 if text == NOTHING else int(text)


def _text(text: str) -> str:
    return "" if text == NOTHING else text


def _watch(kubectl: Kubectl, kind: str, columns: dict[str, str]) -> subprocess.Popen[str]:
    form = ",".join(f"{name}:{path}" for name, path in {"name": ".metadata.name", **columns}.items())
    command = [str(kubectl.program), "--kubeconfig", str(kubectl.kubeconfig), "--namespace", kubectl.namespace]
    command += ["get", kind, "--watch", "--no-headers", f"--output=custom-columns={form}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@contextlib.contextmanager
def watched(kubectl: Kubectl) -> Iterator[Watch]:
    """Watches until the end, then prints what was seen, whether the test passed or not."""
    watch = Watch()
    began = time.monotonic()
    jobs, pods = _watch(kubectl, KIND, SEEN), _watch(kubectl, "pods", {"created": ".metadata.creationTimestamp"})

    def read_jobs() -> None:
        for text in jobs.stdout or ():
            name, phase, progress, _, lost, replaced, started, message = text.strip().split(maxsplit=7)
            numbers = _number(progress), _number(lost), _number(replaced)
            at = time.monotonic() - began
            watch.lines.append(Line(at, name, _text(phase), *numbers, _text(started), _text(message)))

    def read_pods() -> None:
        for text in pods.stdout or ():
            name, created = text.split()
            watch.pods[name] = created

    readers = [threading.Thread(target=read, daemon=True) for read in (read_jobs, read_pods)]
    for reader in readers:
        reader.start()
    try:
        yield watch
    finally:
        for process in (jobs, pods):
            process.terminate()
            process.wait(10)
        for reader in readers:
            reader.join(10)
        watch.tell(kubectl)

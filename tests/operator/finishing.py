"""An operator that does nothing but finish: for tests of those who create jobs and wait for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shuffle_operator.kube.api import JOBS, Object
from tests.operator.api_server import ApiServer


def finished(job: Object, phase: str = "Complete", reason: str = "Completed") -> Object:
    """The job with the status of its end."""
    path = job["spec"]["output"]["path"]
    job["status"] = {
        "phase": phase,
        "message": f"{phase}: that is how it is",
        "conditions": [{"type": "Finished", "status": "True", "reason": reason}],
        "rows": {"read": 7, "written": 7},
        "output": {"path": path, "manifest": f"{path}_manifest.json", "files": 2},
    }
    job["metadata"]["resourceVersion"] = "999"
    return job


@contextmanager
def finishing(server: ApiServer) -> Iterator[list[str]]:
    """Every job is complete soon after it was made. Gives their names, in that order."""
    names: list[str] = []
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.01):
            for (kind, _, name), job in list(server.kube.objects.items()):
                if kind == JOBS and name not in names:
                    finished(job)
                    names.append(name)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield names
    finally:
        over.set()
        thread.join()

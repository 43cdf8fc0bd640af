"""Several workers in one container: the parent that starts them, hands signals on, and ends with them.

One interpreter computes for two processors and hardly for more (docs/decisions/0012-workers-of-a-pod.md), so a pod with
many has a worker for every two. To the coordinator each is a worker like any other. To Kubernetes they are one
container, which starts and ends as one:

    parent, process 1 of the container
      |- python -m shuffle_worker   SHUFFLE_NUMBER_HERE=0   its own port, its part of the memory and of the scratch
      |- python -m shuffle_worker   SHUFFLE_NUMBER_HERE=1
      ...

A worker that fails ends the container with its own exit code, and the others at once: the coordinator is told of one
lost pod, and of the worker that was to blame. One that ends in order is waited for no longer; the container ends with
the last. SIGTERM goes to all, which hand over what they have. Where the parent is killed, the workers leave.

The parent imports neither NumPy nor Arrow, and has no threads.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from shuffle_protocol import trail
from shuffle_worker.runtime.environment import COUNT, NUMBER, TERMINATION_LOG, TRAIL

ASKED = 128 + signal.SIGTERM
"""Exit code of a worker that left because it was told to."""


def is_parent(environment: Mapping[str, str]) -> bool:
    """Whether this process is to start several workers."""
    return NUMBER not in environment and environment.get(COUNT, "1") not in ("", "1")


class Pod:
    """The workers of one container. command: what each runs."""

    def __init__(self, count: int, command: Sequence[str], environment: Mapping[str, str], last_words: Path) -> None:
        self._count = count
        self._command = tuple(command)
        self._environment = dict(environment)
        self._last_words = last_words
        self._trails = Path(tempfile.mkdtemp(prefix="pod-"))
        self._alive: dict[int, int] = {}  # process id -> number of the worker
        self._told = False
        self._blamed = 0  # the exit code of the worker that failed first
        self._left = 0  # the exit code of one that left in order

    def run(self) -> int:
        """Until all workers have ended. Returns the container's exit code."""
        signal.signal(signal.SIGTERM, self._hand_on)
        signal.signal(signal.SIGINT, self._hand_on)
        held, kept = os.pipe()  # the workers' standard input: it ends with this process
        for number in range(self._count):
            self._start(number, held)
        os.close(held)
        while self._alive:
            process, status = os.wait()  # process 1 also gets those whose parents ended
            worker = self._alive.pop(process, None)
            if worker is not None:
                self._ended(worker, os.waitstatus_to_exitcode(status))
        os.close(kept)
        return self._blamed or self._left

    def _start(self, number: int, stdin: int) -> None:
        variables = {NUMBER: str(number), TRAIL: str(self._trail_of(number))}
        process = os.posix_spawn(
            self._command[0],
            self._command,
            {**self._environment, **variables},
            file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0)],
        )
        self._alive[process] = number
        if self._told:
            os.kill(process, signal.SIGTERM)

    def _trail_of(self, number: int) -> Path:
        return self._trails / f"trail-{number}"

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        """The container is to end; told twice, at once (`process.Farewell`)."""
        self._told = True
        self._tell(number)

    def _tell(self, number: int) -> None:
        for process in list(self._alive):
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(process, number)

    def _ended(self, worker: int, code: int) -> None:
        """code: as `subprocess` has it, a signal as a negative number."""
        outside = 128 - code if code < 0 else code
        if outside == 0 or (outside == ASKED and self._told):
            self._left = max(self._left, outside)
            return
        if self._blamed:
            return
        self._blamed = outside
        self._say(worker, by_signal=code < 0)
        if not self._told:
            self._tell(signal.SIGKILL)

    def _say(self, worker: int, *, by_signal: bool) -> None:
        """Which worker failed, where the operator looks for it: in the container's last words. Where these are not
        written, they are the end of the container's log, with what the worker said last."""
        said = trail.blame(worker, self._count)
        if by_signal:
            text = self._trail_text(worker)
            print(text, end="", file=sys.stderr)  # noqa: T201 - with the stacks of its threads
            at = trail.said(text)
            with suppress(OSError):  # nobody reads it
                self._last_words.write_text(f"{said}\n{at}\t0\n" if at else f"{said}\n")
        print(said, file=sys.stderr, flush=True)  # noqa: T201

    def _trail_text(self, worker: int) -> str:
        with suppress(OSError):  # it ended before it began one
            return self._trail_of(worker).read_text(errors="replace")
        return ""


def run(environment: Mapping[str, str]) -> int:
    """Start the workers that the environment says, and wait for their ends. Returns the container's exit code."""
    command = [sys.executable, "-m", "shuffle_worker"]
    return Pod(int(environment[COUNT]), command, environment, Path(TERMINATION_LOG)).run()

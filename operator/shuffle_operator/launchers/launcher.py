"""What a launcher is. Contract, run by the conformance suite in tests/conformance/test_launchers.py:

- `start` for a slot whose process runs is no error and starts nothing; every process gets an incarnation of its own;
- `on_exit` is called once for each process that ended, by itself or not, with its incarnation, a sentence that says
  why, whether it failed by itself (an exit code, a crash) or was taken away (any other signal), and whether it crashed
  (a signal that a process brings upon itself, `crashes.py`);
- `stop` ends a slot's process: politely, or at once; it tolerates that there is none;
- after `close` nothing that was started is left, no process and no scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

OnExit = Callable[[int, str | None, str, bool, bool], None]
"""(worker, incarnation, why, fault, crashed); incarnation: None where it is not known any more."""


class Launcher(Protocol):
    on_exit: OnExit

    def start(self, worker: int, epoch: int) -> None: ...

    def stop(self, worker: int, *, now: bool) -> None: ...

    async def close(self) -> None: ...

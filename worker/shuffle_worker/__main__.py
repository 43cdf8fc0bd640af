"""`python -m shuffle_worker`: one worker process.

On one machine its `WorkerConfig` comes as one JSON line on standard input, so that the token shows in no process list;
in a container from the environment and a mounted file (`environment.py`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

from shuffle_protocol import trail
from shuffle_worker.runtime.heap import share_one_allocator

BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def _line(descriptor: int = 0) -> bytes:
    """The first line, unbuffered: what follows, or the end of the input, is for `watch_stdin`."""
    line = bytearray()
    while byte := os.read(descriptor, 1):
        if byte == b"\n":
            break
        line += byte
    return bytes(line)


def main() -> int:
    _import_all()
    import msgspec

    from shuffle_protocol.errors import InvalidSpec
    from shuffle_protocol.logs import log_as_json
    from shuffle_worker.runtime.environment import config_from, in_container
    from shuffle_worker.runtime.settings import WorkerConfig
    from shuffle_worker.worker.process import REFUSED_EXIT as CONFIGURATION_EXIT
    from shuffle_worker.worker.process import run_worker

    try:
        config = config_from(os.environ) if in_container() else msgspec.json.decode(_line(), type=WorkerConfig)
    except InvalidSpec as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return CONFIGURATION_EXIT
    log_as_json(config.log_level, job=config.job, worker=config.worker, incarnation=config.incarnation)
    if config.trail:
        trail.keep(Path(config.trail), stacks=not in_container())
    try:
        return asyncio.run(run_worker(config))
    except InvalidSpec as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return CONFIGURATION_EXIT


def _import_all() -> None:
    """Half of a small job's time is importing, so nothing is done beside it. The collector would look at what stays for
    good again and again; NumPy would start a thread a core for products of matrices, of which there are none here, and
    they wait for work by spinning. Functions of the user's have processes of their own, with the variable as it was."""
    gc.disable()
    share_one_allocator()
    asked = BLAS_THREADS in os.environ
    os.environ.setdefault(BLAS_THREADS, "1")
    import shuffle_worker.worker.process  # noqa: F401

    if not asked:
        del os.environ[BLAS_THREADS]
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    code = main()
    trail.end()
    sys.stderr.flush()
    os._exit(code)  # everything is closed; tearing Arrow's thread pools down aborts the process now and then

"""`python -m shuffle_worker`: one worker process.

On one machine its `WorkerConfig` comes as one JSON line on standard input, so that the token shows in no process list;
in a container from the environment and a mounted file (`environment.py`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import msgspec

from shuffle_worker.environment import config_from, in_container
from shuffle_worker.errors import InvalidSpec
from shuffle_worker.logs import log_as_json
from shuffle_worker.process import REFUSED_EXIT as CONFIGURATION_EXIT
from shuffle_worker.process import run_worker
from shuffle_worker.settings import WorkerConfig


def _line(descriptor: int = 0) -> bytes:
    """The first line, unbuffered: what follows, or the end of the input, is for `watch_stdin`."""
    line = bytearray()
    while byte := os.read(descriptor, 1):
        if byte == b"\n":
            break
        line += byte
    return bytes(line)


def main() -> int:
    try:
        config = config_from(os.environ) if in_container() else msgspec.json.decode(_line(), type=WorkerConfig)
    except InvalidSpec as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return CONFIGURATION_EXIT
    log_as_json(config.log_level, job=config.job, worker=config.worker, incarnation=config.incarnation)
    gc.freeze()  # what the imports made stays for good; the collector need not look at it again
    try:
        return asyncio.run(run_worker(config))
    except InvalidSpec as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return CONFIGURATION_EXIT


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # everything is closed; tearing Arrow's thread pools down aborts the process now and then

"""`python -m shuffle_worker`: one worker process; in a container with many processors the parent of several
(`worker/pod.py`). `python -m shuffle_worker warm`: as many as a launcher asks for (`worker/warm.py`).

On one machine its `WorkerConfig` comes as one JSON line on standard input, so that the token shows in no process list;
in a container from the environment and a mounted file (`environment.py`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from shuffle_protocol import trail
from shuffle_protocol.authorities import read_late
from shuffle_worker.runtime.environment import TERMINATION_LOG
from shuffle_worker.runtime.importing import quickly
from shuffle_worker.worker import pod, warm


def _line(descriptor: int = 0) -> bytes:
    """The first line, unbuffered: what follows, or the end of the input, is for `watch_stdin`."""
    line = bytearray()
    while byte := os.read(descriptor, 1):
        if byte == b"\n":
            break
        line += byte
    return bytes(line)


def main() -> int:
    if pod.is_parent(os.environ):
        return pod.run(os.environ)
    ahead = warm.WarmProcess(arrays="arrays" in sys.argv[2:]) if sys.argv[1:2] == [warm.ARGUMENT] else None
    with quickly(), read_late():
        import msgspec

        from shuffle_protocol.errors import InvalidSpec
        from shuffle_protocol.logs import log_as_json
        from shuffle_worker.runtime.environment import config_from, in_container
        from shuffle_worker.runtime.settings import WorkerConfig
        from shuffle_worker.worker.process import REFUSED_EXIT as CONFIGURATION_EXIT
        from shuffle_worker.worker.process import run_worker

        if ahead is not None:
            ahead.import_ahead()
    if ahead is not None and not ahead.serve():
        return 0
    try:
        config = config_from(os.environ) if in_container() else msgspec.json.decode(_line(), type=WorkerConfig)
    except InvalidSpec as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return CONFIGURATION_EXIT
    log_as_json(config.log_level, job=config.job, worker=config.worker, incarnation=config.incarnation)
    if config.trail:
        trail.keep(Path(config.trail), stacks=config.trail != TERMINATION_LOG)
    try:
        return asyncio.run(run_worker(config))
    except InvalidSpec as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return CONFIGURATION_EXIT


if __name__ == "__main__":
    code = main()
    trail.end()
    sys.stderr.flush()
    os._exit(code)  # everything is closed; tearing Arrow's thread pools down aborts the process now and then

"""`python -m shuffle_operator`: the operator, inside of a cluster or outside of it (with a kubeconfig)."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

from shuffle_operator.kube.api import KubeError
from shuffle_operator.settings import from_environment
from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.logs import log_as_json


def main() -> int:
    try:
        settings = from_environment()
    except InvalidSpec as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2
    log_as_json(settings.log_level, pod=settings.pod)
    for name in ("kopf", "kopf.objects"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from shuffle_operator.operator import run_operator

    gc.freeze()  # what the imports made stays for good
    try:
        asyncio.run(run_operator(settings))
    except KubeError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Facts of the machine that a reader of the results needs, and nothing that would tell whose machine it is."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import psutil

_PATH = re.compile(r"(?<![\w.:/~])~?/(?:[^\s/'\":,;()]+/)*([^\s/'\":,;()]*)")
_QUOTED_PATH = re.compile(r"""(['"])~?/[^'"]*?([^'"/]*)\1""")
_FILE_URL = re.compile(r"\bfile://(?=/)")


def facts(cores_used: int) -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "coresUsed": cores_used,
        "memoryBytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def without_paths(text: str) -> str:
    """`text` with every absolute path cut down to its last part: log lines of peers are full of them."""
    quoted = _QUOTED_PATH.sub(r"\1.../\2\1", _FILE_URL.sub("", text))  # these may hold spaces
    return _PATH.sub(r".../\1", quoted)


def use_cores(count: int) -> int:
    """Keep this process and all that it starts to `count` of the cores it may use; returns how many those are."""
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, available[:count])
    return min(count, len(available))


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.lower().startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"

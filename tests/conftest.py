"""What holds for every test."""

from __future__ import annotations

import os

# Jobs start hundreds of processes. Those that may keep their bytecode start in half the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

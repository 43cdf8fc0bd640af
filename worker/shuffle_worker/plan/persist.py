"""The plan of a job on tables as a file: see `plan/file.py`."""

from __future__ import annotations

from shuffle_worker.plan.file import PlanFile
from shuffle_worker.plan.record import Plan

_FILE = PlanFile(Plan)

fingerprint = _FILE.fingerprint
with_fingerprint = _FILE.with_fingerprint
encode, decode = _FILE.encode, _FILE.decode
save, saved, load = _FILE.save, _FILE.saved, _FILE.load

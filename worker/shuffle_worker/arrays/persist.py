"""The plan of a job on arrays as a file: see `plan/file.py`."""

from __future__ import annotations

from shuffle_worker.arrays.record import RechunkPlan
from shuffle_worker.plan.file import PlanFile

_FILE = PlanFile(RechunkPlan)

fingerprint = _FILE.fingerprint
with_fingerprint = _FILE.with_fingerprint
encode, decode = _FILE.encode, _FILE.decode
save, saved, load = _FILE.save, _FILE.saved, _FILE.load

"""Time zones that mean the same: `UTC`, `Etc/UTC` and `+00:00`; `Asia/Calcutta` and `Asia/Kolkata`.

A zone's name is part of an Arrow type, and says how instants are shown, not which they are. So columns whose zones show
every instant in the same way have a common type, with the name that came first. Pure, but for the files of the time
zone database.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?$")
_ETC = re.compile(r"Etc/GMT([+-])(\d{1,2})$")
_UTC = frozenset({"utc", "uct", "z", "zulu", "gmt", "gmt0", "gmt+0", "gmt-0", "greenwich", "universal"})
_ETC_PREFIX = "etc/"


def same_zone(left: str, right: str) -> bool:
    return left == right or _rules(left) == _rules(right)


@lru_cache(maxsize=256)
def _rules(zone: str) -> object:
    """What zones are compared by: minutes from UTC, the rules in the database, or otherwise the name."""
    if zone.lower().removeprefix(_ETC_PREFIX) in _UTC:
        return 0
    offset = _OFFSET.match(zone)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return minutes if offset[1] == "+" else -minutes
    etc = _ETC.match(zone)
    if etc is not None:  # these names count westwards, so the sign is the other way round
        return int(etc[2]) * (60 if etc[1] == "-" else -60)
    return _database(zone) or zone


def _database(zone: str) -> bytes | None:
    """The zone's file in the time zone database, the system's or Python's; None if there is none."""
    parts = zone.split("/")
    if any(not part or part.startswith(".") for part in parts):
        return None
    for folder in TZPATH:
        path = Path(folder, *parts)
        if path.is_file():
            return path.read_bytes()
    try:
        file = resources.files("tzdata").joinpath("zoneinfo", *parts)
        return file.read_bytes() if file.is_file() else None
    except (ModuleNotFoundError, OSError):
        return None

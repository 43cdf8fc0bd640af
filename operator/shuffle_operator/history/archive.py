"""Histories of jobs that are over, for as long as there is room: a page opened before the end stays useful after it.

They go with the process. What is to stay is written beside the output (`output.report`).
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from shuffle_operator.history.document import JobHistory, JobLine

ROOM = 16 << 20
"""Bytes of compressed histories; the oldest go first. One of 500 workers takes some 100 KiB, a small one 3."""


@dataclass(slots=True)
class Archive:
    """Memory: `room` bytes, and a line for each history."""

    room: int = ROOM
    _kept: OrderedDict[str, tuple[bytes, JobLine]] = field(default_factory=OrderedDict)
    _size: int = 0

    def keep(self, history: JobHistory, line: JobLine) -> None:
        data = zlib.compress(msgspec.json.encode(history), 6)
        self.forget(line.uid)
        self._kept[line.uid] = (data, line)
        self._size += len(data)
        while self._size > self.room and len(self._kept) > 1:
            self.forget(next(iter(self._kept)))

    def forget(self, uid: str) -> None:
        kept = self._kept.pop(uid, None)
        if kept is not None:
            self._size -= len(kept[0])

    def history(self, uid: str) -> JobHistory | None:
        kept = self._kept.get(uid)
        return None if kept is None else msgspec.json.decode(zlib.decompress(kept[0]), type=JobHistory)

    def lines(self) -> list[JobLine]:
        """The newest first."""
        return [line for _, line in reversed(self._kept.values())]

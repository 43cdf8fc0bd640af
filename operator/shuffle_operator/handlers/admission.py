"""Which jobs may begin: at most `most` at once, oldest first, and none where older ones wait for the namespace's quota.

A job that waits is Pending, says what it waits for, and has nothing in the cluster: no Secret, no pod, no start time. A
job that was begun by an operator before this one is always taken up.

Bounded: an entry for each job that waits.
"""

from __future__ import annotations

from typing import Any

from shuffle_operator.handlers.active import ActiveJob, World
from shuffle_operator.handlers.beginning import Beginning
from shuffle_operator.launchers.line import Age, age_of

Object = dict[str, Any]

AGAIN = 30.0
"""Seconds after which a job that waits looks again by itself; it is woken when it may begin."""


class Admission:
    """active, under_way: the jobs that run, and those that are being begun, by uid."""

    def __init__(self, world: World, active: dict[str, ActiveJob], under_way: dict[str, Beginning]) -> None:
        self.world = world
        self._active = active
        self._under_way = under_way
        self._waiting: dict[str, Age] = {}

    def obstacle(self, body: Object) -> tuple[str, float]:
        """Why a job may not begin now, "" where it may, and seconds until it is to ask again."""
        uid = body["metadata"]["uid"]
        if uid in self._under_way:
            return "", 0.0
        age = self._waiting.setdefault(uid, age_of(body))
        most = self.world.most_jobs
        running = len(self._active.keys() | self._under_way.keys())
        if most and running + sum(other < age for other in self._waiting.values()) >= most:
            return f"waiting for its turn: {most} jobs run at a time (maxRunningJobs), the oldest first", AGAIN
        place = self.world.line.place(body)
        wait = place.turn()
        if wait != 0:
            return f"waiting for its turn: {place.sentence}", AGAIN if wait is None else wait
        del self._waiting[uid]
        return "", 0.0

    def forget(self, uid: str) -> None:
        """It is not to begin, or is gone: it stands in nobody's way."""
        self.world.line.forget(uid)
        if self._waiting.pop(uid, None) is not None:
            self.freed()

    def freed(self) -> None:
        """A job that ran does no more, or one that waited: those whose turn may have come look again."""
        room = self.world.most_jobs - len(self._active.keys() | self._under_way.keys())
        for uid in sorted(self._waiting, key=lambda each: self._waiting[each])[: max(0, room)]:
            self.world.wake(uid)

"""Which jobs may begin: at most `most` at once, oldest first, and none where older ones wait for the namespace's quota.

A job that waits for one of the two does not block others at the other: a job that its namespace's quota holds back
keeps no job of another namespace from beginning, and one that the limit holds back has no place in its namespace's
line.

A job that waits is Pending, says what it waits for, and has nothing in the cluster: no Secret, no pod, no start time. A
job that was begun by an operator before this one is always taken up.

Bounded: an entry for each job that waits.
"""

from __future__ import annotations

from typing import Any

from shuffle_operator.handlers.active import ActiveJob, World
from shuffle_operator.handlers.beginning import Beginning
from shuffle_operator.launchers.quota_queue import Age, age_of

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
        self._held: set[str] = set()
        """Of these, those that wait for a quota."""

    def obstacle(self, body: Object) -> tuple[str, float]:
        """Why a job may not begin now, "" where it may, and seconds until it is to ask again."""
        uid = body["metadata"]["uid"]
        if uid in self._under_way:
            return "", 0.0
        age = self._waiting.setdefault(uid, age_of(body))
        self._held.discard(uid)
        most, place = self.world.most_jobs, self.world.line.place(body)
        if most and self._running() + sum(other < age for other in self._candidates().values()) >= most:
            place.leave()
            return f"waiting for its turn: {most} jobs run at a time (maxRunningJobs), the oldest first", AGAIN
        wait = place.turn()
        if wait != 0:
            self._held.add(uid)
            self.freed()
            return f"waiting for its turn: {place.sentence}", AGAIN if wait is None else wait
        del self._waiting[uid]
        return "", 0.0

    def _running(self) -> int:
        return len(self._active.keys() | self._under_way.keys())

    def _candidates(self) -> dict[str, Age]:
        """Those that wait for the limit alone."""
        return {uid: age for uid, age in self._waiting.items() if uid not in self._held}

    def knows(self, uid: str) -> bool:
        """Whether a job waits, or is being begun."""
        return uid in self._waiting or uid in self._under_way

    def forget(self, uid: str) -> None:
        """A job is not to begin, or is gone: it blocks no other."""
        self.world.line.forget(uid)
        self._under_way.pop(uid, None)
        self._waiting.pop(uid, None)
        self._held.discard(uid)
        self.freed()

    def freed(self) -> None:
        """A job has stopped running or beginning, or blocks no other any more: jobs whose turn may have come look
        again."""
        waiting = self._candidates()
        for uid in sorted(waiting, key=lambda each: waiting[each])[: max(0, self.world.most_jobs - self._running())]:
            self.world.wake(uid)

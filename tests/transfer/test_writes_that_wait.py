"""The rest of a write: another lease may begin meanwhile, and nothing ends before it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from tests.plan.jobs import job

from shuffle_protocol.errors import OutOfDisk
from shuffle_protocol.messages import Done, Lease, LeaseId, LeaseKind
from shuffle_worker.transfer.source import StoredShardSource
from shuffle_worker.transfer.work import Written
from shuffle_worker.worker.leases import LeaseWork, Opened, Running

NONE: Any = None
LEASE = Lease(LeaseId(LeaseKind.WRITE, 0, 3, 0))


class Group:
    """A group whose write returns `rest`, and what happens to it."""

    def __init__(self, folder: Path, rest: Callable[[], None] | None, room: int = 0) -> None:
        self.steps: list[str] = []
        self._rest = rest

        @asynccontextmanager
        async def incoming(_group: int, _counted: object) -> AsyncIterator[StoredShardSource]:
            yield StoredShardSource()
            self.steps.append("written")

        work: Any = SimpleNamespace(write=self._write)
        exchange: Any = SimpleNamespace(incoming=incoming, make_room=lambda: room)
        self.leases = LeaseWork(NONE, asyncio.to_thread, asyncio.to_thread)
        self.leases.learn(job(folder))
        self.leases.open(Opened(NONE, work, exchange, NONE))

    def _write(self, _group: int, _source: StoredShardSource, *, alone: bool) -> Written:
        self.steps.append("computed")
        return Written(1, 2, 3, 3, 2, rest=self._rest)

    async def carried_out(self) -> Done:
        running = Running(LEASE, NONE)
        return await self.leases.carry_out(LEASE, running, lambda: self.steps.append("drained"))


async def test_another_lease_may_begin_while_the_rest_waits(tmp_path: Path) -> None:
    group = Group(tmp_path, lambda: group.steps.append("rest"))
    done = await group.carried_out()
    assert group.steps == ["computed", "drained", "rest", "written"]
    assert (done.rows_written, done.bytes_written) == (2, 3)


async def test_a_write_without_a_rest_is_over_at_once(tmp_path: Path) -> None:
    group = Group(tmp_path, None)
    await group.carried_out()
    assert group.steps == ["computed", "written"]


async def test_a_lease_that_is_taken_away_waits_for_the_rest(tmp_path: Path) -> None:
    """What is under way to the disk would come after what the job's next owner does there."""
    begun, go_on = Event(), Event()

    def rest() -> None:
        begun.set()
        assert go_on.wait(10)
        group.steps.append("rest")

    group = Group(tmp_path, rest)
    lease = asyncio.ensure_future(group.carried_out())
    assert await asyncio.to_thread(begun.wait, 10)
    lease.cancel()
    await asyncio.sleep(0)
    assert not lease.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await lease
    assert group.steps == ["computed", "drained", "rest"]


@pytest.mark.parametrize("room", [0, 1])
async def test_a_disk_that_is_full_at_the_end_is_made_room_on(tmp_path: Path, room: int) -> None:
    def rest() -> None:
        group.steps.append("rest")
        if group.steps.count("rest") == 1:
            raise OutOfDisk("full")

    group = Group(tmp_path, rest, room)
    if not room:
        with pytest.raises(OutOfDisk):
            await group.carried_out()
        return
    await group.carried_out()
    assert group.steps == ["computed", "drained", "rest", "computed", "rest", "written"]

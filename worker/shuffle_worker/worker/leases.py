"""Leases carried out, each kind in its way: what a worker does once the agent says that it may.

plan, commit, abort     the work, as it is
transfer                work.read -> exchange              shards on their way to those who write
write                   exchange -> work.write
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from shuffle_protocol.errors import JobError, OutOfDisk
from shuffle_protocol.jobs import Job
from shuffle_protocol.measures import Spent
from shuffle_protocol.messages import Attempt, Done, Held, Lease, LeaseKind, PlanSummary, Transferred, View
from shuffle_worker.functions.process import end_all
from shuffle_worker.runtime.stopwatch import COMPUTE, JOB, WRITE, added, measured, spending
from shuffle_worker.storage.retry import OUTAGE, tried_for
from shuffle_worker.transfer.carry import Carrier
from shuffle_worker.transfer.exchange import Condition, Exchange
from shuffle_worker.transfer.source import StoredShardSource
from shuffle_worker.transfer.threads import Run, to_its_end
from shuffle_worker.transfer.transport import Unreachable
from shuffle_worker.transfer.work import Choose, Work, Written

T = TypeVar("T")

log = logging.getLogger("shuffle.worker")


REPORT_SECONDS = 30.0
"""That a job which is committed waits for its report. What is tried goes on behind that for as long as its last call to
the store takes."""
TRIED_SECONDS = 15.0
"""Of trouble with the store after which writing the report is not tried again."""
ASKED_AGAIN = (1.0, 4.0, 10.0)
"""Seconds after which the coordinator is asked for the report again, where it did not answer."""


async def no_report() -> bytes:
    return b""


@dataclass(frozen=True, slots=True)
class Opened:
    """What there is once the plan is loaded."""

    summary: PlanSummary
    work: Work
    exchange: Exchange
    carrier: Carrier


@dataclass(slots=True)
class Running:
    """A lease that is being carried out."""

    lease: Lease
    task: asyncio.Task[None]
    draining: bool = False
    """Its computing is over, it only waits: for its shards to arrive, or for the disk to take its output."""
    source: StoredShardSource | None = None
    """What a write reads from."""
    revoked: bool = False

    def revoke(self) -> None:
        """Let it end; once only: a second time would interrupt its tidying up."""
        if not self.revoked and not self.task.done():
            self.revoked = True
            if self.source is not None:
                self.source.revoke()
            self.task.cancel()


@dataclass(slots=True)
class LeaseWork:
    """Carries out the leases of one worker, several at once."""

    choose: Choose
    compute: Run
    finish: Run
    """Runs the rest of writes, which only waits for the disk or the store."""
    report: Callable[[], Awaitable[bytes]] = no_report
    """The job's report, from the coordinator; b"" where it has none."""
    written: dict[int, Done] = field(default_factory=dict)
    """The groups that this worker wrote."""
    _transferred: dict[tuple[int, int], Transferred] = field(default_factory=dict)  # by tranche and split
    _spec: Job | None = None
    _opened: Opened | None = None

    @property
    def spec(self) -> Job:
        assert self._spec is not None, "the job is known before a lease is given"
        return self._spec

    @property
    def opened(self) -> Opened | None:
        """None until the plan is loaded."""
        return self._opened

    @property
    def loaded(self) -> Opened:
        assert self._opened is not None, "the plan is loaded before the work begins"
        return self._opened

    def condition(self) -> Condition:
        """The exchange's; its steps with those of reading."""
        if self._opened is None:
            return Condition()
        found = self._opened.exchange.condition()
        return found._replace(steps=found.steps + self._opened.carrier.steps)

    def learn(self, spec: Job) -> None:
        """The coordinator said which job it is, perhaps with another number of workers than before."""
        self._spec = spec

    def open(self, opened: Opened) -> None:
        self._opened = opened

    def held(self, view: View | None, *, show: bool) -> Held | None:
        """What this worker has, for a coordinator that lost its memory; None before there is a plan. show: with the
        view and the summary, which are large."""
        opened = self._opened
        if view is None or opened is None:
            return None
        return Held(
            view.epoch,
            opened.summary.fingerprint,
            list(self._transferred.values()),
            [done.written_group for done in self.written.values()],
            opened.exchange.splits_kept(),
            view if show else None,
            opened.summary if show else None,
        )

    def forget_transfers(self, tranches: Collection[int]) -> None:
        """Transfers for these tranches were done for fewer groups than are in them now."""
        for key in [key for key in self._transferred if key[0] in tranches]:
            del self._transferred[key]

    def _transferred_by(self, lease: Lease, done: Done) -> Done:
        for part in [Attempt(lease.id.tranche, lease.id.item, lease.id.attempt), *lease.piggybacked]:
            found = Transferred(part.tranche, part.split, part.attempt, done.rows_read, done.tally, done.covers)
            self._transferred[part.tranche, part.split] = found
        return done

    async def carry_out(self, lease: Lease, running: Running, drained: Callable[[], None]) -> Done:
        """running: where a write notes what it reads from. drained: see `Carrier.carry_out`. Raises what the work and
        the exchange raise."""
        kind = lease.id.kind
        if kind is LeaseKind.TRANSFER:
            return self._transferred_by(lease, await self.loaded.carrier.carry_out(lease, drained))
        if kind is LeaseKind.WRITE:
            return await self._write(lease, running, drained)
        if kind is LeaseKind.PLAN:
            return await self._plan(lease)
        if kind is LeaseKind.COMMIT:
            return await self._commit(lease)
        return await self._abort(lease)

    async def _plan(self, lease: Lease) -> Done:
        spec = self.spec
        try:
            summary: PlanSummary = await self.compute(_job_work, lambda: self.choose(spec).plan(spec))
        except asyncio.CancelledError:
            end_all()  # one that is tried on a sample may take an hour, and what comes next waits for this thread
            raise
        written = await self.compute(lambda: self.choose(spec).recorded(spec, summary.fingerprint))
        return Done(lease.id, plan=summary, written=written)

    async def _write(self, lease: Lease, running: Running, drained: Callable[[], None]) -> Done:
        group = lease.id.item
        if group in self.written:  # a coordinator that lost its memory asks again; the shards are gone, the files there
            return msgspec.structs.replace(self.written[group], id=lease.id)
        async with self.loaded.exchange.incoming(group, lease.counted) as source:
            running.source = source
            done = self.written[group] = await self._write_group(lease, source, drained)
        return done

    async def _write_group(self, lease: Lease, source: StoredShardSource, drained: Callable[[], None]) -> Done:
        group = lease.id.item
        written, spent = await to_its_end(self._written(group, source, drained), source.revoke)
        return Done(
            lease.id,
            rows_moved=written.received,
            bytes_moved=source.bytes,
            rows_written=written.rows,
            bytes_written=written.bytes,
            files=written.files,
            largest=written.largest,
            spent=spent,
            sizes=list(written.sizes),
            largest_file=written.largest_file,
            key=written.key,
            key_share=written.key_share,
        )

    async def _written(
        self, group: int, source: StoredShardSource, drained: Callable[[], None]
    ) -> tuple[Written, Spent]:
        """Not to be cancelled in between: what is under way to the disk must have come to its end."""
        written, seconds = await self.compute(measured, COMPUTE, self._write_or_make_room, group, source)
        spent = added(None, seconds)
        if written.rest is not None:
            drained()
            _, seconds = await self.finish(measured, WRITE, self._finish_or_make_room, written, group, source)
            spent = added(spent, seconds)
        return written, spent

    def _write_or_make_room(self, group: int, source: StoredShardSource) -> Written:
        """In a compute thread. Sorting may need scratch that is taken by what is only kept."""
        work = self.loaded.work
        try:
            return work.write(group, source, alone=source.alone)
        except OutOfDisk:
            if not self.loaded.exchange.make_room():
                raise
            return work.write(group, source, alone=source.alone)

    def _finish_or_make_room(self, written: Written, group: int, source: StoredShardSource) -> None:
        """In a thread that waits for the disk or the store."""
        try:
            written.finished()
        except OutOfDisk:
            if not self.loaded.exchange.make_room():
                raise
            self.loaded.work.write(group, source, alone=source.alone).finished()

    async def _commit(self, lease: Lease) -> Done:
        result = await to_its_end(self.compute(_job_work, lambda: self.loaded.work.commit(lease.rows)))
        missing = await self._report() if self.spec.output.report else ""
        output: dict[str, str | int | float] = {
            "manifest": result.manifest,
            "files": result.files,
            "rows": result.rows,
            "bytes": result.bytes,
            "largest": result.largest,
            "median": result.median,
        }
        if missing:
            output["noReport"] = missing
        return Done(lease.id, rows_written=result.rows, bytes_written=result.bytes, files=result.files, output=output)

    async def _report(self) -> str:
        """Why there is none; "" where it is written. The output is whole: nothing that happens to its report changes
        that, not even a defect, nor does the job wait for long."""
        writing = asyncio.ensure_future(self._fetch_and_write())
        writing.add_done_callback(_taken_note_of)
        try:
            await asyncio.wait([writing], timeout=REPORT_SECONDS)
        except asyncio.CancelledError:
            writing.cancel()
            await asyncio.wait([writing])  # a thread that writes: the output may be undone next
            raise
        if not writing.done():
            why = OUTAGE.said or "neither the coordinator nor the store was done with it"
            writing.cancel()
            return _no_report(f"not within {REPORT_SECONDS:g} s: {why}")
        error = writing.exception()
        if error is None:
            return ""
        if isinstance(error, JobError | OSError | Unreachable):
            return _no_report(str(error))
        log.error("the job's report was not written", exc_info=error)
        return f"the job's report was not written because of a defect: {type(error).__name__}: {error}"

    async def _fetch_and_write(self) -> None:
        data = await self._fetched()
        if data:
            await to_its_end(self.compute(_job_work, lambda: self._put(data)))

    def _put(self, data: bytes) -> None:
        with tried_for(TRIED_SECONDS):
            self.loaded.work.report(data)

    async def _fetched(self) -> bytes:
        for pause in ASKED_AGAIN:
            try:
                return await self.report()
            except Unreachable as error:
                log.info("the job's report is asked for again: %s", error)
            await asyncio.sleep(pause)
        return await self.report()

    async def _abort(self, lease: Lease) -> Done:
        spec = self.spec
        await to_its_end(self.compute(_job_work, lambda: self.choose(spec).abort(spec)))
        return Done(lease.id)


def _no_report(why: str) -> str:
    sentence = f"the job's report was not written: {why}"
    log.warning("%s", sentence)
    return sentence[:1000]


def _taken_note_of(writing: asyncio.Future[None]) -> None:
    """Of one that ends after it was waited for."""
    if not writing.cancelled():
        writing.exception()


def _job_work(call: Callable[[], T]) -> T:
    """What is done once for the whole job."""
    with spending(JOB):
        return call()

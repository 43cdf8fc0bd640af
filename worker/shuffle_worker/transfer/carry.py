"""Carries out transfer leases: reads the split, or takes the shards that are here already, and puts them into the
exchange.

Memory: one step is sent while the next is computed. The exchange bounds what waits and what is on its way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import structs

from shuffle_protocol.measures import Spent
from shuffle_protocol.messages import Done, Lease
from shuffle_protocol.tally import MASK, tally
from shuffle_worker.runtime.stopwatch import added
from shuffle_worker.transfer.exchange import Exchange, Outgoing, Sent
from shuffle_worker.transfer.steps_ahead import StepsAhead
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.work import Work


@dataclass(slots=True)
class Carrier:
    """Carries out transfer leases, several at once."""

    exchange: Exchange
    work: Work
    compute: Run
    """Runs the steps of reading."""
    steps: int = 0
    """Steps that all leases have read so far; it rises while none of them is stuck."""

    async def carry_out(self, lease: Lease, drained: Callable[[], None]) -> Done:
        """drained: called when nothing is left to compute; shards may still be on their way."""
        out = self.exchange.outgoing(lease)
        if lease.resend or lease.stored:
            return await self._resend(lease, out)
        return await self._read(lease, out, drained)

    async def _resend(self, lease: Lease, out: Outgoing) -> Done:
        try:
            rows = await out.resend()
            sent = await out.finish(rows)
            return _done(lease, rows, sent)
        finally:
            await out.close()

    async def _read(self, lease: Lease, out: Outgoing, drained: Callable[[], None]) -> Done:
        rows = bytes_read = sum_of_steps = 0
        spent = Spent()
        split, group_of = lease.id.item, self.work.group_of
        steps = StepsAhead(self.work.read(split, out.groups), self.compute, drained if out.drains else _nothing)
        try:
            while True:
                step, seconds = await steps.next()
                spent = added(spent, seconds)
                if step is None:
                    break
                rows += step.rows
                bytes_read += step.bytes_read
                self.steps += 1
                sum_of_steps += tally((group_of(shard.bucket), shard.rows) for shard in step.shards)
                await out.put(step.shards)
            done = _done(lease, rows, await out.finish(rows))
            covers = len(out.groups) if out.groups is not None else 0
            return structs.replace(done, bytes_read=bytes_read, tally=sum_of_steps & MASK, covers=covers, spent=spent)
        finally:
            await steps.close()
            await out.close()


def _done(lease: Lease, rows: int, sent: Sent) -> Done:
    return Done(lease.id, rows_read=rows, rows_moved=sent.rows, bytes_moved=sent.bytes, kept=sent.kept)


def _nothing() -> None:
    pass

"""Who sent how much to whom, by tiles of neighbouring slots.

Each worker reports what it received, in at most `TILES` numbers; the matrix has at most `TILES` rows and columns, so
neither the messages nor the matrix grow with the square of the workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_operator.history.figures import TILES, TransferMatrix
from shuffle_protocol.measures import Received

MOST_STEP, MOST_BYTES = 1 << 20, 1 << 50
"""Of a report that is taken: more is no worker's of ours."""


@dataclass(slots=True)
class Transfers:
    """Memory: `TILES` numbers for each worker."""

    _of: dict[int, tuple[str, Received]] = field(default_factory=dict)  # slot -> process, what it received
    _before: dict[int, Received] = field(default_factory=dict)  # slot -> what processes that are gone received

    def report(self, worker: int, incarnation: str, received: Received) -> None:
        sound = 1 <= received.step <= MOST_STEP and len(received.bytes) <= TILES
        if not sound or not all(0 <= size <= MOST_BYTES for size in received.bytes):
            return  # no report of ours
        earlier = self._of.get(worker)
        if earlier is not None and earlier[0] != incarnation:
            before = self._before.get(worker)
            self._before[worker] = earlier[1] if before is None else _together(before, earlier[1])
        self._of[worker] = (incarnation, received)

    def matrix(self, blocked: dict[int, float]) -> TransferMatrix:
        """blocked: by worker, seconds that frames for it waited."""
        everything = [(worker, one) for worker, (_, one) in self._of.items()] + list(self._before.items())
        last = max([*self._of, *blocked, 0])
        step = max([1, *(one.step for _, one in everything)])
        while last // step >= TILES:
            step *= 2
        senders = max([last, *(one.step * (len(one.bytes) - 1) for _, one in everything)])
        while senders // step >= TILES:
            step *= 2
        tiles = max(last, senders) // step + 1
        cells = [[0] * tiles for _ in range(tiles)]
        for worker, one in everything:
            for sender, size in enumerate(one.bytes):
                cells[sender * one.step // step][worker // step] += size
        waits = [0.0] * tiles
        for worker, seconds in blocked.items():
            waits[worker // step] += seconds
        return TransferMatrix(step, cells, [round(each, 1) for each in waits], reported=bool(everything))


def _together(one: Received, other: Received) -> Received:
    step = max(one.step, other.step)
    found = [0] * max(len(each.bytes) * each.step // step + 1 for each in (one, other))
    for each in (one, other):
        for n, size in enumerate(each.bytes):
            found[n * each.step // step] += size
    return Received(step, found[:TILES])

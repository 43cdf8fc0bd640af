"""Rows of the larger side of a join that have no partner in the smaller one, found before they are sent. Called by
`plan.py`.

Where such rows cannot be in the result, the plan reads the key columns of the smaller side once and makes a Bloom
filter of them; every worker gets it with the plan, and drops what is certain to have no partner. The filter may depend
on a worker's memory: it never shows in the output, only in how much is sent.

It is made where it is small beside a worker's batches and the larger side is worth it, and kept where a sample of the
larger side says that it drops enough rows to pay for itself. Making it costs some 50 ns a key and looking a row up 11;
a row that is not sent saves about 250.

Memory: a byte a key while it is made, and for each thread a batch of keys.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

from shuffle_protocol.jobs import Join
from shuffle_protocol.memory import Budgets
from shuffle_protocol.units import readable
from shuffle_worker.columns.arrays import U64
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.inputs.probe import RowGroupRef
from shuffle_worker.operations.join.strategy import Sample
from shuffle_worker.partitioning.bloom import BYTES_A_KEY, BloomFilter
from shuffle_worker.partitioning.join_keys import JoinKeys
from shuffle_worker.plan.record import Partners
from shuffle_worker.steps.operation import batch_bytes_of

LEAST_BYTES = 64 << 20
"""Arrow bytes of a side whose rows are worth looking up."""

LEAST_TIMES = 2
"""So many rows of it for each key that is read."""

MOST_KEYS = 8 << 20
"""Rows of the smaller side that are read while the job is planned, when everybody waits."""

LEAST_DROPPED = 0.15
"""The share of the sample that must be without a partner."""

READ_ROWS = 1 << 16
THREADS = 8

# the types of join whose result has no left rows, or no right ones, without a partner
_OF_LEFT = ("Inner", "Right", "LeftSemi")
_OF_RIGHT = ("Inner", "Left", "LeftSemi", "LeftAnti", "AsOf")


class PartnersFound(NamedTuple):
    """Whether rows are dropped before they are sent."""

    partners: Partners | None
    reason: str
    """In words; "" where they are not."""


NOTHING = PartnersFound(None, "")


def partners(
    join: Join, inputs: Sequence[PlannedInput], keys: Sequence[JoinKeys], budgets: Budgets, sample: Sample
) -> PartnersFound:
    """keys: of each input."""
    able = [at for at, hows in ((join.left, _OF_LEFT), (join.right, _OF_RIGHT)) if join.how in hows]
    large = max(able, key=lambda at: inputs[at].size.rows, default=None)
    if large is None or not _worth_it(inputs[large], inputs[1 - large], budgets):
        return NOTHING
    rows = sample(inputs[large])
    if rows is None:
        return NOTHING
    small = inputs[1 - large]
    bloom = _made(small, keys[1 - large])
    dropped = 1 - bloom.may_have(keys[large].hashes(rows)).mean()
    if dropped < LEAST_DROPPED:
        return NOTHING
    data = bloom.to_bytes()
    return PartnersFound(
        Partners(large, data),
        f"rows of {inputs[large].said} whose keys {small.said} does not have, about {dropped:.0%}, are dropped before "
        f"they are sent, by a Bloom filter of {readable(len(data))}",
    )


def _worth_it(large: PlannedInput, small: PlannedInput, budgets: Budgets) -> bool:
    if large.mapped is not None or small.mapped is not None or large.rows < 0 or small.rows < 0:
        return False  # functions are not called twice, and rows that nobody counted may be any number
    if small.rows > MOST_KEYS or small.size.rows * BYTES_A_KEY > batch_bytes_of(budgets) // 3:
        return False
    return large.size.rows * large.size.row_bytes >= LEAST_BYTES and large.size.rows >= LEAST_TIMES * small.rows


def _made(one: PlannedInput, keys: JoinKeys) -> BloomFilter:
    """Of all keys of an input that its filter keeps."""
    bloom, adding = BloomFilter.empty(int(one.size.rows)), Lock()

    def add(groups: Sequence[RowGroupRef]) -> None:
        for hashes in _hashes(one, groups, keys):
            with adding:
                bloom.add(hashes)

    files = [list(groups) for _, groups in itertools.groupby(one.row_groups, key=lambda group: group.file)]
    threads = 1 if one.decoded else THREADS  # a format that decodes whole groups at once may take much for each
    with ThreadPoolExecutor(threads, thread_name_prefix="partners") as pool:
        for done in pool.map(add, files):
            assert done is None  # or it has raised
    return bloom


def _hashes(one: PlannedInput, groups: Sequence[RowGroupRef], keys: JoinKeys) -> Iterator[U64]:
    """Of the keys in some row groups of one file."""
    file = one.files[groups[0].file]
    look = file.look
    read = look.needed(keys.names)
    with file.open(look.storage, read, some=len(read) < len(look.target)) as source:
        shaper = file.shaper(source, read)
        for group in groups:
            for batch in source.batches([group.group], shaper.wanted, READ_ROWS):
                rows = look.kept(shaper.shape(batch), file.info.path, keys.names)
                if rows.num_rows:
                    yield keys.hashes(rows)

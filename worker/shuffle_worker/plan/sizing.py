"""The numbers of a plan: how big splits, files, buckets and row groups are, and the memory that the job needs.

Pure arithmetic on estimates. What shows in the output's bytes (partitions, row groups, splits) depends on the data
alone; only the number of buckets looks at a worker's memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.formats import TEXT
from shuffle_protocol.memory import LEAST_STREAM, MIB, MINIMUM, Budgets
from shuffle_protocol.units import readable
from shuffle_worker.plan.layout import Layout

SPLIT_BYTES = 64 * MIB
"""Arrow bytes that one transfer lease reads, where there is enough data."""

LEAST_SPLIT_BYTES = 16 * MIB
MOST_SPLITS = 20_000
WANTED_SPLITS = 32
"""Small inputs are cut finer than `SPLIT_BYTES`, towards this many splits, so that all workers have something to do."""

BUCKET_BYTES = 48 * MIB
"""Arrow bytes of a bucket that is streamed into a file, and the most of one that is sorted in memory."""

SORT_BUCKET_BYTES = 12 * MIB
"""Arrow bytes of a bucket that is sorted, while there are few: the gather of 30 MB costs 1.7 times that of 7 MB."""

FEW_SORT_BUCKETS = 1024
"""From this many buckets on, a sort's buckets grow towards `BUCKET_BYTES`: each costs slices and index entries."""

MOST_BUCKETS = 1024
MOST_SORT_BUCKETS = 2048
FEW_BUCKETS = 128
"""Where partitions are many and tiny, buckets hold several, but never fewer than this many in all."""

ROW_GROUP_BYTES = 9 * MIB
"""Arrow bytes of an output row group. One that lies in the cache is encoded a tenth faster than one of 32 MiB, takes
less memory, and lets readers skip more."""

WIDE = 3
"""Of a row group, and of what is given to a function, whose rows are so many times wider than the mean: it ends by its
bytes, before it has its rows."""

LEAST_ROW_GROUP_ROWS = 16
MOST_ROW_GROUP_ROWS = 4 << 20

MOST_PARTITIONS = 200_000

BUSY_FILES = 32
FEW_KEYS = 4

CALL_BYTES = 2 * MIB
MOST_CALL_ROWS = 1 << 16
"""Of what travels to a function of the user's at once: of a batch of `map`, and of whole groups for `apply`."""
MOST_CALL_BYTES = WIDE * CALL_BYTES
"""The same, where rows are far wider than the mean."""

MOVED_BYTES = 96 * MIB
LEAST_FILE_BYTES = 16 * MIB


def split_target(total: float, called: bool = False) -> float:
    """Arrow bytes of one split of an input of `total` Arrow bytes. called: its rows go through a function, which takes
    longer than all else, so even few rows are worth sharing out."""
    least = CALL_BYTES if called else LEAST_SPLIT_BYTES
    wanted = min(SPLIT_BYTES, max(least, total / WANTED_SPLITS))
    return max(wanted, total / MOST_SPLITS)


def call_rows(row_bytes: float) -> int:
    """Rows that travel to a function at once. By the plan's mean, which depends on the data alone."""
    return int(min(max(CALL_BYTES / max(row_bytes, 1.0), 1), MOST_CALL_ROWS))


def partition_count(asked: int, target_bytes: int, output_bytes: float) -> int:
    """Output files: as many as asked for, or as many as make each about the target's size."""
    if asked:
        return asked
    count = max(math.ceil(output_bytes / max(target_bytes, 1)), 1)
    if count > MOST_PARTITIONS:
        raise InvalidSpec(
            f"output.targetPartitionSize: {readable(target_bytes)} would make about {count:,} files of "
            f"{readable(output_bytes)}; {MOST_PARTITIONS:,} are the most: choose a larger size"
        )
    return count


def written_bytes(stored: float, arrow: float, inputs: Collection[str], output: str, compression: str) -> float:
    """Bytes of output files. stored: as the input's files hold these rows; arrow: as memory does. Where both are of
    columns, compressed, the input's own size is the best guess; else shares that were measured on tables of numbers,
    names and short texts."""
    if output in TEXT:
        return arrow if compression == "None" else 0.3 * arrow
    if output == "Feather" and compression == "None":
        return arrow
    return stored if set(inputs) <= {"Parquet", "ORC"} else 0.4 * arrow


def shrinking_partitions(count: int, moved: float, output_bytes: float) -> int:
    """Output files where an operation shrinks its rows: at least one for every `MOVED_BYTES` that come to it, because
    one worker at a time works on a file, but none smaller than `LEAST_FILE_BYTES` for that."""
    return max(count, min(math.ceil(moved / MOVED_BYTES), int(output_bytes / LEAST_FILE_BYTES)))


def busy_partitions(count: int, keys: float, most_keys: float, moved: float, most_moved: float) -> int:
    """Output files where the work on a file takes long compared with moving its rows: enough for `BUSY_FILES` workers
    to have something to do, if there are enough keys (hashes spread few keys unevenly), and for none to have more than
    `most_keys` keys or `most_moved` Arrow bytes. The number of workers does not matter, because any number must give
    the same files."""
    keys = max(keys, 1.0)
    least = min(BUSY_FILES, math.ceil(keys / FEW_KEYS))
    large = max(keys / most_keys, min(moved / most_moved, keys))
    return min(max(count, least, math.ceil(large)), MOST_PARTITIONS)


def folder_partitions(count: int, folders: float) -> int:
    """Output files where each folder's rows come to one of them, so that more of them make no more files."""
    return max(count, min(BUSY_FILES, math.ceil(folders)))


def layout_for(partitions: int, arrow_bytes: float, *, in_ranges: bool, working: int) -> Layout:
    """in_ranges: a partition may be cut into several buckets (a sort's key range)."""
    buckets = min(partitions, max(FEW_BUCKETS, math.ceil(arrow_bytes / BUCKET_BYTES)), MOST_BUCKETS)
    if in_ranges and buckets == partitions:
        wanted = min(BUCKET_BYTES, max(SORT_BUCKET_BYTES, arrow_bytes / FEW_SORT_BUCKETS))
        most = max(min(wanted, working // 4), MIB)
        each = math.ceil(arrow_bytes / partitions / most)
        buckets = partitions * max(1, min(each, MOST_SORT_BUCKETS // partitions))
    return Layout(partitions, buckets)


def row_group_rows(row_bytes: float) -> int:
    return int(min(max(ROW_GROUP_BYTES / max(row_bytes, 0.01), LEAST_ROW_GROUP_ROWS), MOST_ROW_GROUP_ROWS))


def row_group_bytes(rows: int, row_bytes: float) -> int:
    """The most Arrow bytes of a row group of so many rows. row_bytes: their mean. Rows of usual widths never come to
    it, so it shows only where some are far wider than the others."""
    return int(WIDE * max(ROW_GROUP_BYTES, rows * row_bytes))


def memory_needed(row_bytes: float, rows_in_group: int, leaves: int, decoded: float = 0.0) -> int:
    """The least memory of a worker that holds the largest unit of work: an output row group being written, or the
    streams of the columns being read. decoded: bytes that the input's format decodes at once."""
    writing = 1.1 * rows_in_group * row_bytes
    reading = leaves * LEAST_STREAM + 4 * row_bytes + 1.5 * decoded  # half of it again while it is gathered
    unit = max(writing, reading)
    limit = MINIMUM
    while Budgets.for_limit(limit).working < unit:
        limit += 16 * MIB
    return limit


def scratch_needed(arrow_bytes: float, owners: int, budgets: Budgets) -> int:
    """What all workers together may spill: everything but what the stores hold of those that own a group, with a tenth
    for uneven keys."""
    held = 0.9 * budgets.store * owners
    return 0 if arrow_bytes <= held else int((arrow_bytes - held) * 1.1)

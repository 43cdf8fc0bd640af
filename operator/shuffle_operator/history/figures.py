"""The parts of a job's history that are figures: what workers did and when, where rows and bytes went, how even the
output is, what losses cost. Units and rules: `document.py`.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

COLUMNS = 240
"""The most columns of a timeline. When they are full, pairs of them become one, and a column lasts twice as long."""

LANES = 1024
"""The most workers that a timeline and the list of workers have; slots beyond are left out, and `Timeline.left_out`
says how many."""

TILES = 32
"""The most rows and columns of a transfer matrix."""

BIGGEST = 20
"""Files, hot keys and slow leases that are named."""

MARKS = 200
LOSSES = 100
"""The most marks and losses that are told one by one: the first quarter and the newest; `left_out` counts the rest."""

BINS = 128
"""The most bins of a histogram of sizes."""


class Doing(StrEnum):
    """What a worker does, a letter in a timeline."""

    READ = "r"
    """Reads input: fetches and decodes it."""
    COMPUTE = "c"
    """Computes: partitions, filters, joins, sorts, aggregates, calls functions of the user's."""
    SEND = "s"
    """Waits until what it sent has arrived."""
    BLOCKED = "b"
    """Back-pressure: waits because the receivers of what it sends have no memory free."""
    DISK = "d"
    """Writes to scratch, or reads back from it."""
    WRITE = "w"
    """Encodes output and hands it to the store."""
    STORE = "o"
    """Waits for an object store that does not answer."""
    JOB = "p"
    """Plans or commits the job, or removes what was written."""
    IDLE = "i"
    """Is there, and has nothing to do."""
    ABSENT = "-"
    """There is no worker in the slot."""


class Activity(Struct, frozen=True, omit_defaults=True):
    """Seconds by what they were spent on; a field for each `Doing` but the last."""

    read: float = 0.0
    compute: float = 0.0
    send: float = 0.0
    blocked: float = 0.0
    disk: float = 0.0
    write: float = 0.0
    store: float = 0.0
    job: float = 0.0
    idle: float = 0.0


class TimelineSample(Struct, frozen=True):
    """Counters at the end of a column of the timeline. All but `percent`, `workers` and the memory only grow, so the
    difference of two neighbours by the time between them is a throughput."""

    percent: float
    rows_read: int
    bytes_read: int
    bytes_sent: int
    bytes_spilled: int
    rows_written: int
    bytes_written: int
    workers: int
    """That are there."""
    memory: int
    """Of all workers together."""
    memory_most: float
    """Of the fullest worker, as a share of its budget."""


class Timeline(Struct, frozen=True):
    """What each worker did, when. A lane is a worker's slot."""

    width: float
    """Seconds that a column lasts; column n is from n * width to (n + 1) * width."""
    lanes: int
    columns: list[str]
    """A text for each column, a letter for each lane (`Doing`): what took most of that time. A capital letter: it was
    work that is done again, after a loss or as a second attempt. At most `COLUMNS`, of `LANES` letters each. The last
    one may be shorter than `width` as yet."""
    memory: list[str]
    """The same for memory: 0 to 9, then a to z, each 1/32 of the worker's budget, v being all of it and z far more;
    "-" where there is no worker."""
    samples: list[TimelineSample]
    """One for each column."""
    left_out: int
    """Slots beyond `LANES`."""


class JobMark(Struct, frozen=True):
    """Something that happened to the job, at a moment."""

    at: float
    kind: str
    """loss, left, joined, epoch, phase, again (a lease was given out a second time), failed"""
    worker: int
    """-1: it concerns none, or all."""
    text: str


class Marks(Struct, frozen=True):
    """What happened, in order."""

    marks: list[JobMark]
    left_out: int
    """Marks that were left out after the first quarter, once there were more than `MARKS`."""
    epochs: int
    """How often the epoch rose."""


class Amount(Struct, frozen=True):
    """-1: not known."""

    rows: int
    bytes: int


class Check(Struct, frozen=True):
    """Two figures that must agree."""

    what: str
    holds: bool | None
    """null: it cannot be said yet, or this operation need not keep it."""
    text: str
    """For people."""


class RowsAndBytes(Struct, frozen=True):
    """Where rows and bytes went. `again` is what was done a second time because a worker was lost, or something that
    it had was damaged; it is in the bytes of `read` and in `sent`, and in none of the others."""

    read: Amount
    """From the input, after the filter; bytes as they are stored there."""
    sent: Amount
    """Accepted by their owners, those on the same worker too, and those that were sent again: after a loss more rows
    are sent than read. bytes: that went to other workers."""
    stored: Amount
    """Received by the groups that are written."""
    written: Amount
    spilled: int
    """Bytes that were written to scratch."""
    read_again: int
    sent_again: int
    """`read_again`, `sent_again`: bytes."""
    splits_again: int
    unit: str
    """row, or element for arrays"""
    checks: list[Check]


class Bin(Struct, frozen=True, array_like=True):
    """Files of a size: from low, below high."""

    low: int
    high: int
    files: int


class NamedFile(Struct, frozen=True):
    """One of the largest."""

    group: int
    name: str
    """"" where only its group is known."""
    bytes: int
    rows: int
    """-1: not known."""


class HotKey(Struct, frozen=True):
    """A key that many rows have."""

    key: str
    """As text, with its columns; at most 200 letters."""
    bytes: int
    rows: int
    """`bytes`, `rows`: about so many; -1: not known."""
    share: float
    """Of all rows or bytes; -1: not known."""
    source: str
    """How it is known: a sample of the input, or of the groups that have it."""


class Skew(Struct, frozen=True):
    """How even the output is."""

    files: int
    largest: int
    median: int
    """`largest`, `median`: bytes; the median is that of the bins until the commit."""
    ratio: float
    """largest / median; -1: not known."""
    bins: list[Bin]
    """At most `BINS`, in order; those without files are left out."""
    biggest: list[NamedFile]
    """At most `BIGGEST`, the largest first."""
    hot_keys: list[HotKey]
    """At most `BIGGEST`: those that make files large, the largest first; then those that the plan found."""


class WorkerState(Struct, frozen=True):
    """A worker's slot: what is known of the process in it, and of those before it together."""

    worker: int
    state: str
    """there, starting, leaving, lost, left"""
    processes: int
    """That were in this slot so far."""
    doing: str
    """A letter of `Doing`."""
    memory: int
    """Resident now, rounded to 1/64 of the budget."""
    memory_peak: int
    memory_budget: int
    spilled: int
    cpu: float
    rows_read: int
    bytes_sent: int
    bytes_written: int
    leases: int
    """That it finished; `rows_read` to `leases`: of all processes of the slot, as are `spilled` and `cpu`."""
    activity: Activity
    waiting: str
    """What it waits for, for people; "": nothing."""


class SlowLease(Struct, frozen=True):
    """One of the leases that took longest."""

    kind: str
    """plan, transfer, write, commit"""
    item: int
    """The split or the group."""
    attempt: int
    worker: int
    start: float
    seconds: float
    activity: Activity


class TransferMatrix(Struct, frozen=True):
    """Bytes from workers to workers. A tile is `step` neighbouring slots, so that there are at most `TILES` a side."""

    step: int
    bytes: list[list[int]]
    """bytes[i][j]: from senders of tile i to receivers of tile j. What a worker keeps for itself is not in it."""
    blocked: list[float]
    """Of each tile of receivers: seconds that frames waited because there was no memory free for them."""
    reported: bool
    """Workers have reported at all; with `method: ObjectStore` they never do."""


class LostWorker(Struct, frozen=True):
    """A worker that was lost, and what it cost."""

    at: float
    worker: int
    why: str
    fault: bool
    """It failed by itself; else it was taken away."""
    groups: int
    """Unwritten groups that are done again by others."""
    leases: int
    """That it had in hand."""
    seconds_lost: float
    """For which it had worked on these."""
    splits_read: int
    splits_resent: int
    """`splits_read`, `splits_resent`: splits that were read or sent again for those groups, so far."""
    bytes_read: int
    bytes_sent: int
    """`bytes_read`, `bytes_sent`: by these."""
    repaired_after: float | None
    """Seconds until all of them were done again; null: they are not yet, or there was nothing to repair."""


class LossHistory(Struct, frozen=True):
    """The workers that were lost."""

    lost: list[LostWorker]
    left_out: int
    """As of `Marks`, once there are more than `LOSSES`."""
    failures: int
    disruptions: int
    """`failures`, `disruptions`: numbers of workers that failed by themselves, and that were taken away."""

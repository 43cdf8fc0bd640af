"""The control messages between a worker and its coordinator, and nothing else.

Two calls carry everything, both answered at once or after a short wait by the coordinator:

    POST /v1/jobs/{job}/register   Register -> Registered
    POST /v1/jobs/{job}/sync       Sync     -> Orders

`Sync` is level-triggered: it says what *is* (leases held, leases finished and not yet acknowledged, counters), never
what changed, so a message that is lost, late or doubled does no harm. `Orders` lists every lease that the worker is
meant to hold; the worker starts what it does not have, and stops what is no longer listed.

Identity, on every message: (job uid, worker index, incarnation). The index is the slot of a worker (0 .. workers-1)
and survives a replacement; each process has an incarnation of its own, so a process that was declared lost can never
be taken for its successor. Several workers in one pod (`Job.workers_per_pod`) have the pod's, a dot and a number.

Numbers are plain ints: bytes are bytes, times are seconds of the sender's monotonic clock unless the name says
otherwise. Encoding: JSON by msgspec, which checks types on arrival; unknown fields are ignored, so a field can be added
without a new version. Anything else needs a new `VERSION`.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

from shuffle_protocol.jobs import Job
from shuffle_protocol.measures import FrequentKey, Received, Spent

VERSION = 4
"""Raised with every change that an older peer would misread. A worker of another version is refused at `register`."""

MAX_CONTROL_BODY = 64 << 20
"""Bytes of the largest control message that either side accepts (a whole view of 10,000 workers is under 1 MiB)."""


MAX_REPORT = 8 << 20
"""Bytes of the largest report that a commit writes (of 500 workers and 40,000 partitions it has about 700 KiB)."""


class Phase(StrEnum):
    """Where a job stands; a scalar that `kubectl`, Argo and people can match."""

    PENDING = "Pending"
    PLANNING = "Planning"
    TRANSFERRING = "Transferring"
    WRITING = "Writing"
    COMMITTING = "Committing"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


class LeaseKind(StrEnum):
    """What a lease asks for."""

    PLAN = "plan"
    TRANSFER = "transfer"
    WRITE = "write"
    COMMIT = "commit"
    ABORT = "abort"


class LeaseId(Struct, frozen=True, order=True, array_like=True):
    """One attempt at one piece of work; unique in a job.

    kind     what to do
    tranche  for a transfer: the set of groups that it is for (see `View`); else 0
    item     a split for a transfer, a group for a write, else 0
    attempt  0 for the first time that this (kind, tranche, item) is given out, then 1, 2, ...
    """

    kind: LeaseKind
    tranche: int
    item: int
    attempt: int


class Attempt(Struct, frozen=True, order=True, array_like=True):
    """A transfer lease seen by a receiver: the tag that every shard carries."""

    tranche: int
    split: int
    attempt: int


class Member(Struct, frozen=True, array_like=True):
    """A live worker: where its peers reach it, and which process it is."""

    worker: int
    incarnation: str
    address: str


class OwnedRun(Struct, frozen=True, array_like=True):
    """Groups side by side, `first` and those after it, that have the same owner and tranche (see `View`)."""

    first: int
    count: int
    owner: int
    tranche: int


class View(Struct, frozen=True, omit_defaults=True):
    """Who is in the job and who owns what, as of an epoch. Sent to a worker only when its epoch is behind.

    A *group* is what one worker owns and writes in one lease. A *tranche* is a set of groups whose splits are counted
    together. Tranche 0 is all groups at first. When an owner is lost, its unwritten groups leave their tranches and
    become a new one, and every split is due again for that one. So a group's tranche says which leases may still bring
    rows for it, and its owner says where to send them (-1: nobody yet).
    """

    plan: str
    """The fingerprint of the plan that this view is about."""
    epoch: int
    groups: int
    members: list[Member]
    runs: list[OwnedRun]
    migrating: list[tuple[int, int]] = field(default_factory=list)
    """(tranche, worker): that worker still has what it stored for the tranche's groups, and keeps it."""
    base: int = -1
    """The epoch of the view that this one updates, for a worker that has exactly that view: then `members` are the new
    ones, `gone` those that left, and `runs` the groups that changed. -1: this view is whole."""
    gone: list[int] = field(default_factory=list)


class Lease(Struct, frozen=True):
    """An order to do one piece of work."""

    id: LeaseId
    counted: list[Attempt] = field(default_factory=list)
    """For a write, the transfer attempts that counted where it was not attempt 0; shards of every other attempt at the
    same (tranche, split) must not be used. Bounded by the number of leases that were ever given out again."""
    rows: int = 0
    """For a commit, the total that was read from the input after the filter (-1: not known); the written rows must add
    up to it where the operation keeps every row."""
    piggybacked: list[Attempt] = field(default_factory=list)
    """For a transfer: the same split is due for these tranches too, so that it is read once for all of them."""
    resend: bool = False
    """For a transfer: do not read; send what was kept of this split (`recovery.retainShards`)."""
    stored: Attempt | None = None
    """For a transfer: do not read; send what the store has of this attempt, for groups that were handed over."""


class Figures(Struct, frozen=True, omit_defaults=True):
    """What a step of a plan is expected to be, or was; -1 where it is not known or means nothing."""

    rows: int = -1
    bytes: int = -1
    files: int = -1
    spilled: int = -1


class PlanNode(Struct, frozen=True, omit_defaults=True):
    """A step of a plan as people know them from databases: the last one first, what it is fed by in `inputs`."""

    step: str
    """Write, Sort, Shuffle, Filter, Read ..."""
    what: str
    """What is done to what."""
    why: list[str] = field(default_factory=list)
    """How it came to be so, one sentence each."""
    estimated: Figures = field(default_factory=Figures)
    inputs: list[PlanNode] = field(default_factory=list)


class PlanSummary(Struct, frozen=True):
    """What the coordinator needs of a plan, and what `explain` and the status show. The plan itself is in the output's
    staging folder, where every worker reads it."""

    fingerprint: str
    split_bytes: list[int]  # estimated bytes to read, per split: its length is the number of splits
    group_partitions: list[int]  # output files, per group: its length is the number of groups
    partitions: int
    input_files: int
    input_bytes: int
    input_rows: int  # from the footers, before the filter; -1 where unknown
    memory_needed: int  # bytes a worker must have
    scratch_needed: int  # estimated bytes that all workers together may spill
    method: str = "PeerToPeer"  # or "ObjectStore": how shards travel
    method_reason: str = ""
    notes: list[str] = field(default_factory=list)
    tree: PlanNode | None = None  # what `explain` shows
    seconds: float = 0.0  # that it may take
    seconds_after: float = 0.0  # of these, when every row has arrived
    write_share: float = 0.45  # of the whole time, but for the start; for progress bars that move evenly
    keeps_rows: bool = True  # every row that is read is a row that is written, so the two counts must agree
    leaves_out: bool = False  # but for those that the output's filter leaves out, which only the commit counts
    split_wave: list[int] = field(default_factory=list)  # of each split: groups need the splits of their own wave only
    group_wave: list[int] = field(default_factory=list)  # of each group; both empty where everything needs everything
    frequent_keys: list[FrequentKey] = field(default_factory=list)  # the most frequent first, 20 at most
    reading: int = 0  # bytes of a worker's `Budgets.working` that a lease needs which reads; 0: all
    writing: int = 0  # the same of one that writes


class Transferred(Struct, frozen=True, array_like=True):
    """A transfer that was finished, as its worker remembers it."""

    tranche: int
    split: int
    attempt: int
    rows: int
    """Read; -1: not known."""
    tally: int = -1
    """What was sent, by `tally.py`; -1: it was not read."""
    covers: int = 0
    """The number of groups that the tally is about; 0: all of them."""


class WrittenGroup(Struct, frozen=True, array_like=True):
    """A group whose files are there."""

    group: int
    rows: int
    bytes: int
    received: int = -1
    """Rows that it was made of; -1: not known."""


class Done(Struct, frozen=True):
    """A lease that was finished. Sent with every Sync until an Orders acknowledges it."""

    id: LeaseId
    rows_read: int = 0
    bytes_read: int = 0
    """`rows_read`, `bytes_read`: of a transfer: rows from the input after the filter (-1: not known), and stored bytes
    that were fetched."""
    rows_moved: int = 0
    bytes_moved: int = 0
    """`rows_moved`, `bytes_moved`: of a transfer: rows that owners accepted, and payload bytes that other workers
    accepted; of a write: rows and bytes received."""
    rows_written: int = 0
    bytes_written: int = 0
    """`rows_written`, `bytes_written`: of a write or the commit: rows and bytes in output files."""
    files: int = 0
    largest: int = 0
    """Of a write: bytes of the group's largest file."""
    plan: PlanSummary | None = None
    output: dict[str, str | int | float] | None = None  # commit: manifest's address and totals
    kept: bool = False
    """Of a transfer: what was sent to others is on scratch, and can be sent again."""
    tally: int = -1
    covers: int = 0
    """`tally`, `covers`: of a transfer, as in `Transferred`."""
    written: list[WrittenGroup] = field(default_factory=list)
    """Of a plan: groups that were written earlier, by workers that are gone."""
    seconds: float = 0.0
    """That it took."""
    spent: Spent | None = None
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Of a write: how many files there are of each size: (number of the size, files); see `sizes.py`."""
    largest_file: str = ""
    """Of a write: its name."""
    key: str = ""
    """Of a write: the key that most of the group's rows have, `user = 7`, by a sample; "" where none stands out."""
    key_share: float = 0.0
    """Of a write: the share of the group's rows that have it, about."""

    @property
    def written_group(self) -> WrittenGroup:
        """Of a write: the group."""
        return WrittenGroup(self.id.item, self.rows_written, self.bytes_written, self.rows_moved)


class Failure(Struct, frozen=True):
    """A lease that could not be finished."""

    id: LeaseId
    reason: str
    """One of `errors.REASONS`."""
    message: str
    retry: bool = False
    """Another try may succeed."""
    refusal: bool = False
    """Nothing was moved or written yet, and the job file or its input is at fault."""
    absent: bool = False
    """What was to be sent again is not here, or not any more."""
    corrupt: int = -1
    """A split whose stored rows are damaged, so that it must be brought again; -1: none."""


class Counters(Struct, frozen=True):
    """What a worker counted since it started. All only grow, but for those marked (gauge)."""

    spilled: int = 0  # bytes written to scratch
    memory_peak: int = 0
    refused: int = 0  # frames refused as stale, foreign or corrupt
    repeated: int = 0  # frames received again and ignored
    corrupt: int = 0  # blocks whose checksum did not match
    cpu: float = 0.0  # seconds of processor time
    progress: float = 0.0  # groups being written, in parts of one: for smooth progress bars (gauge)
    steps: int = 0  # steps that leases have made: what shows that none of them is stuck
    kept: int = 0  # bytes on scratch of what was sent and is kept (gauge)
    storing: int = 0  # calls that bring shards to the store, under way (gauge)
    stored_calls: int = 0  # such calls that are over: what shows that the store is not stuck
    resident: int = 0  # bytes of memory now (gauge)
    receiving_blocked: float = 0.0  # seconds in which frames waited because there was no memory for them
    spent: Spent = Spent()


class Held(Struct, frozen=True):
    """What a worker has, reported at registration, so that a coordinator that lost its memory can rebuild it.

    View and summary are large and mostly the same for all workers: they are sent by those that are asked for them
    (`Orders.show_view`)."""

    epoch: int
    """Of its view."""
    plan: str
    """The fingerprint of its plan."""
    transferred: list[Transferred]
    written: list[WrittenGroup]
    kept: list[int] = field(default_factory=list)
    """Splits whose shards it kept."""
    view: View | None = None
    summary: PlanSummary | None = None


class Register(Struct, frozen=True):
    version: int
    worker: int
    incarnation: str
    address: str
    slots: int  # leases it works on at once
    memory: int  # bytes it may use
    held: Held | None = None


class Registered(Struct, frozen=True):
    """The answer to Register: welcome, or why not. A worker that is refused exits and says so."""

    accepted: bool
    message: str = ""
    job: Job | None = None
    heartbeat: float = 0.0  # seconds between the reports of a busy worker, if that is more than it would wait itself


class Sync(Struct, frozen=True):
    worker: int
    incarnation: str
    epoch: int  # of the view that the worker has; -1: none
    holding: list[LeaseId]
    done: list[Done]
    failed: list[Failure]
    counters: Counters
    free: int  # leases it could start now
    wait: float = 0.0  # seconds that the coordinator may hold the answer back until there is news
    leaving: bool = False  # it is asked to leave (SIGTERM, drain): give it nothing new, take over what it has
    written: int = 0  # groups that it knows to be written, where shards are kept
    full: str = ""  # why its scratch can hold nothing more; "" where it can
    waiting_reason: str = ""  # what it waits for: a store that does not answer; "" where nothing
    received: Received | None = None  # with every few reports


class Orders(Struct, frozen=True):
    """The coordinator's answer to a Sync."""

    known: bool
    """False: the coordinator does not know this incarnation, which must register (again)."""
    phase: Phase
    epoch: int
    view: View | None = None
    leases: list[Lease] = field(default_factory=list)
    acknowledged: list[LeaseId] = field(default_factory=list)
    """The finished or failed leases that have been counted; the worker forgets them."""
    stop: bool = False
    """The job is over, or this worker is not wanted: let go of everything and exit."""
    aborting: bool = False
    """What the job wrote is about to be removed. A worker that was asked to leave stays for that if it can."""
    released: bool = False
    """The worker was leaving, and nothing that it has is needed any more."""
    written: bytes = b""
    """Where shards are kept: a bit for each group that is written. What was kept for it can go."""
    show_view: bool = False
    """The coordinator follows one that died and needs this worker's view: register again, with it."""

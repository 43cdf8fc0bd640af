"""Every limit and default of the coordinator, with its reason. Users rarely need them; tests shorten them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds and counts."""

    silence: float = 15.0
    """A worker that has not been heard of for so long is lost. Workers report every `heartbeat`; a loop that is held up
    for seconds by a busy machine must not cost a repair."""

    heartbeat: float = 1.0
    """How often a busy worker reports."""

    reports: float = 2500.0
    """Reports a second that a job's busy workers make together at most, about half of what a core can answer: where
    there are more workers each reports less often, but four times before it counts as silent."""

    gathering: float = 1.0
    """Workers that come within so long of each other are made known to the rest at once."""

    patience: float = 5.0
    """After the plan is there, how long to wait for the rest of the workers before the groups are shared out among
    those that are there. Late ones read and send, and own what is handed to them when something is lost."""

    growth_patience: float = 30.0
    """The same where more workers are started once the plan is there (`maxReplicas`): they have yet to be placed."""

    startup_deadline: float = 600.0
    """No worker at all for so long: the job fails and says why."""

    active_deadline: float | None = None
    """The job as a whole; None: no limit."""

    lease_attempts: int = 4
    """A lease that failed with an error that a retry may mend is tried so often in all."""

    backoff_limit: int = 3
    """Worker failures that are the job's own (a crash, an exit code) before the job fails."""

    crash_attempts: int = 3
    """A lease that so many workers crashed over (SIGABRT, SIGSEGV, ...) fails the job: its input would end every
    worker."""

    disruption_limit: int = 100
    """Workers lost through no fault of the job (killed, evicted, node gone, silent) before the job fails."""

    stop_grace: float = 10.0
    """How long workers may take to let go of their leases before the abort is given out regardless."""

    abort_deadline: float = 60.0
    """How long removing partial output may take before the job is declared failed all the same, saying so."""

    poll: float = 10.0
    """The longest that an answer to an idle worker is held back. Below `silence`, so that waiting is not silence."""

    speculate_after: float = 5.0
    """A transfer that has been out for so long, and for twice as long as they usually take, is given to an idle worker
    too; a worker that has finished nothing for so long loses what waits for it alone."""

    rebalance_after: float = 15.0
    """An owner that will go on writing for longer than this hands half of its groups to an idle worker: moving them
    costs the network and the disk about as much as sending them did."""

    rebalance_split: float = 0.01
    """And it costs its old owner a lease for each split, of this many seconds at least: so long must it go on too."""

    stall: float = 1800.0
    """A worker that holds a lease and has made no step for so long (no batch read, no shard sent or read back) is stuck
    and replaced. A function of the user's may take long over one group of rows; nothing of ours takes minutes."""

    owner_stall: float = 180.0
    """A worker that has shards to store and has stored none for so long, or has not taken the view that it is sent, is
    stuck and replaced, though it holds no lease: everybody who sends to it waits. A slow disk takes some of them in
    that time, and a plan is loaded in seconds."""

    absent: float = 300.0
    """A worker that was there under a coordinator that died, and has not registered with its successor for so long, is
    replaced: it hangs, and nobody would know. Longer than a pod takes that was starting just then."""

    drain: float = 60.0
    """How long a worker that is one too many may take to hand over what it has. A worker that somebody else asks to go
    has the grace that it is given there."""

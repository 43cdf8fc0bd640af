"""What bounds a job, in one sentence, and the line of its file that would change it.

Worked out of the figures that the page shows, and of nothing else: the verdict lists those that decide. The first rule
that applies wins; rules go from what keeps workers from working to what they do while they work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shuffle_operator.history.document import Evidence, Verdict
from shuffle_operator.history.figures import Activity
from shuffle_protocol.units import counted, readable

LEAST_SECONDS = 3.0
"""Seconds of workers' time before there is anything to say."""
NOTICEABLE = 0.15
"""Share of the time from which waiting for a store or repairing is what people want to hear of."""
MISSING = 0.25
"""Share of the workers' time in which they were not there."""
IDLE = 0.4
"""Share of the time without anything to do."""
SKEWED = 3.0
"""Times the median from which the largest file is called skewed, where workers also wait for it."""
WAITING_FOR_SKEW = 0.2
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Situation:
    """The figures that a verdict follows from."""

    activity: Activity
    """Of all workers."""
    missing: float
    """Seconds, of all workers that the job wants, in which they were not there."""
    workers: int
    ready: int
    """Workers that are there; the most that were, of a job that is over."""
    memory: int
    """Of each worker."""
    spilled: int
    largest: int
    median: int
    partitions: int
    splits: int
    groups: int
    losses: int
    lost_seconds: float
    """That lost workers had worked on what they had in hand, and that it took to do again what was done."""
    retains: bool
    """Shards that were sent are kept."""
    local: bool
    """On one machine: there are no more cores than it has."""
    compression: str
    hot_key: str = ""
    """The most frequent key, where one is known."""
    hot_share: float = 0.0
    """Of all rows."""
    hot_advice: str = ""
    """What helps against such a key, one sentence."""
    over: bool = False
    """It works no more."""

    @property
    def worked(self) -> float:
        """Seconds in which workers did something."""
        a = self.activity
        return a.read + a.compute + a.send + a.blocked + a.disk + a.write + a.store + a.job

    @property
    def there(self) -> float:
        return self.worked + self.activity.idle


def verdict_on(found: Situation) -> Verdict:
    """What bounds a job that is like this."""
    if found.there + found.missing < LEAST_SECONDS:
        return _nothing(_unknown(found))
    for rule in (_store, _missing, _losses, _skew, _idle):
        verdict = rule(found)
        if verdict is not None:
            return verdict
    return _work(found)


def _nothing(sentence: str) -> Verdict:
    return Verdict("nothing", sentence, "", "", [])


def _unknown(found: Situation) -> str:
    if found.over:
        return "This job was too short to say what bounds it."
    return "It is too early to say what bounds this job."


def _share(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole > 0 else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


# -- what keeps workers from working ---------------------------------------------------------------------------------


def _store(found: Situation) -> Verdict | None:
    share = _share(found.activity.store, found.there)
    if share < NOTICEABLE:
        return None
    return Verdict(
        "store",
        f"The store bounds this job: for {_percent(share)} of their time workers waited for one that did not answer.",
        "  storageRetrySeconds: 3600" if not found.local else "",
        "The job waits for up to an hour for its store before it fails; it is the store that has to become faster.",
        [Evidence("Waiting for the store, of the workers' time", share, "share")],
    )


def _missing(found: Situation) -> Verdict | None:
    share = _share(found.missing, found.missing + found.there)
    if share < MISSING:
        return None
    ready = max(1, found.ready)
    fewer = ready < found.workers
    return Verdict(
        "workers",
        f"Waiting for workers bounds this job: for {_percent(share)} of the time they were not there"
        f" ({found.ready} of {counted(found.workers, 'worker')} {'were at the most' if found.over else 'are now'}).",
        f"  workers: {{replicas: {ready}}}" if fewer else "",
        "It asks for no more workers than there is room for; smaller requests may find room for more." if fewer else "",
        [
            Evidence("Not there, of the time of all workers that are wanted", share, "share"),
            Evidence(
                "Workers that were there, at the most" if found.over else "Workers that are there",
                found.ready,
                "workers",
            ),
            Evidence("Workers that are wanted", found.workers, "workers"),
        ],
    )


def _losses(found: Situation) -> Verdict | None:
    share = _share(found.lost_seconds, found.there)
    if not found.losses or share < NOTICEABLE:
        return None
    return Verdict(
        "losses",
        f"Lost workers bound this job: {counted(found.losses, 'worker')} cost {_percent(share)} of the workers' time.",
        "" if found.retains else "  recovery: {retainShards: true}",
        "" if found.retains else "What was sent is kept on scratch, so that after a loss the input is not read again.",
        [
            Evidence("Lost and done again, of the workers' time", share, "share"),
            Evidence("Workers that were lost", found.losses, "workers"),
        ],
    )


def _skew(found: Situation) -> Verdict | None:
    idle = _share(found.activity.idle, found.there)
    times = found.largest / found.median if found.median else 0.0
    if times < SKEWED or idle < WAITING_FOR_SKEW or found.workers < 2:
        return None
    hot = found.hot_key and found.hot_share > 1 / max(1, found.partitions)
    key = f"; {found.hot_key} alone has about {_percent(found.hot_share)} of all rows" if hot else ""
    more = min(40_000, max(found.partitions * 4, found.workers * 4))
    return Verdict(
        "skew",
        f"Skew bounds this job: its largest file ({readable(found.largest)}) has {times:.1f} times the bytes of the "
        f"median one, and workers were idle for {_percent(idle)} of their time{key}.",
        "" if key else f"  output: {{partitions: {more}}}",
        found.hot_advice if key else "More and smaller files are shared out more evenly.",
        [
            Evidence("Largest file, of the median one", round(times, 2), "times"),
            Evidence("Idle, of the workers' time", idle, "share"),
            Evidence("Largest file", found.largest, "bytes"),
            *([Evidence(f"Rows with {found.hot_key}", found.hot_share, "share")] if key else []),
        ],
    )


def _idle(found: Situation) -> Verdict | None:
    share = _share(found.activity.idle, found.there)
    if share < IDLE or found.workers < 2:
        return None
    few = min(n for n in (found.splits, found.groups) if n) if found.splits or found.groups else 0
    fewer = max(1, round(found.workers * (1 - share)))
    pieces = f": there are {counted(few, 'piece')} of work for {counted(found.workers, 'worker')}"
    because = pieces if 0 < few < 2 * found.workers else ""
    return Verdict(
        "nothing",
        "Nothing bounds this job but its size: workers had nothing to do for "
        f"{_percent(share)} of their time{because}.",
        f"  workers: {{replicas: {fewer}}}" if not found.local else "",
        "Fewer workers would take about as long." if not found.local else "",
        [Evidence("Idle, of the workers' time", share, "share"), Evidence("Workers", found.workers, "workers")],
    )


# -- what they do while they work ------------------------------------------------------------------------------------


def _work(found: Situation) -> Verdict:
    """What takes most of the time that is worked."""
    parts = found.activity
    kinds: dict[str, tuple[float, str]] = {
        "reading": (parts.read, "Reading bounds this job: fetching and decoding the input took {}"),
        "computing": (parts.compute, "Computing bounds this job: what is done with rows took {}"),
        "sending": (parts.send, "Sending bounds this job: waiting until rows had arrived at other workers took {}"),
        "receivers": (parts.blocked, "Receivers bound this job: senders waited for them to take what was sent for {}"),
        "disk": (parts.disk, "Disk bounds this job: writing rows to scratch and reading them back took {}"),
        "writing": (parts.write, "Writing bounds this job: encoding the output and storing it took {}"),
    }
    kind, (seconds, sentence) = max(kinds.items(), key=lambda item: item[1][0])
    share = _share(seconds, found.worked)
    if seconds <= 0:
        return _nothing(_unknown(found))
    yaml, why = _REMEDIES[kind](found)
    second, (after, _) = sorted(kinds.items(), key=lambda item: item[1][0])[-2]
    evidence = [
        Evidence(f"{kind.capitalize()}, of the time that workers worked", share, "share"),
        Evidence(f"{second.capitalize()}, which comes next", _share(after, found.worked), "share"),
        *([Evidence("Written to scratch", found.spilled, "bytes")] if found.spilled else []),
    ]
    return Verdict(kind, f"{sentence.format(_percent(share))} of the time that workers worked.", yaml, why, evidence)


def _more_workers(found: Situation) -> tuple[str, str]:
    why = "Twice the workers do it in about half of the time."
    if found.local:
        why = "In a cluster, or on a machine with twice the cores: twice the workers do it in about half of the time."
    return f"  workers: {{replicas: {2 * found.workers}}}", why


def _more_memory(found: Situation) -> tuple[str, str]:
    each = found.memory + 2 * found.spilled // max(1, found.workers)
    gib = max(-(-each // GIB), found.memory // GIB + 1)
    return (
        f"  workers: {{resources: {{limits: {{memory: {gib}Gi}}}}}}",
        "So much memory holds what was spilled." if found.spilled else "Receivers take more before senders wait.",
    )


def _disk(found: Situation) -> tuple[str, str]:
    return _more_memory(found) if found.spilled else _more_workers(found)


def _writing(found: Situation) -> tuple[str, str]:
    if found.compression in ("Zstd", "Gzip", "Brotli"):
        why = f"Snappy takes less time than {found.compression}; files become larger."
        return "  output: {compression: Snappy}", why
    return _more_workers(found)


_REMEDIES: dict[str, Callable[[Situation], tuple[str, str]]] = {
    "reading": _more_workers,
    "computing": _more_workers,
    "sending": _more_workers,
    "receivers": _more_memory,
    "disk": _disk,
    "writing": _writing,
}

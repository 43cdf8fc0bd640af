"""How shards travel: from worker to worker, or by object storage. Called by the planner, shown by `explain`. Pure.

Worker to worker is cheaper and faster almost always: every byte crosses the network once, and no request is paid for.
Object storage is worth its price where workers that hold much are likely to be taken away, and where there are too many
workers for all to talk to all; never where requests would cost more than the data.
"""

from __future__ import annotations

from typing import NamedTuple

from shuffle_protocol.jobs import Job
from shuffle_protocol.units import readable
from shuffle_worker.storage import urls

PEERS = "PeerToPeer"
OBJECTS = "ObjectStore"
AUTO = "Auto"

MUCH_TO_LOSE = 8 << 30
"""Bytes of other workers' rows from which on losing a worker is expensive: a minute or more of reading again."""

MANY_WORKERS = 128
"""From here on the connections (workers squared) and the frames of one split (one to each worker) become the burden."""

MOST_REQUESTS = 2_000_000
"""Ranged requests, one for every pair of a split and a group; about a dollar's worth at the usual prices."""

LEAST_PIECE = 64 << 10
"""Bytes of a (split, group) pair below which a request costs more time than its bytes."""


class Method(NamedTuple):
    """How shards travel, and why so."""

    name: str
    """PeerToPeer or ObjectStore."""
    reason: str
    """Why, in words."""


def choose(job: Job, splits: int, groups: int, moved: int) -> Method:
    """moved: bytes of all shards together."""
    if job.method != AUTO:
        return Method(job.method, "asked for")
    if urls.scheme_of(job.output.path) == "file":
        return Method(PEERS, "the output is a folder, not an object store")
    requests = splits * groups
    each = moved // max(job.workers, 1)
    if job.preemptible and each > MUCH_TO_LOSE:
        wish = f"workers on preemptible nodes would hold {readable(each)} each, which outlive them in object storage"
    elif job.workers > MANY_WORKERS:
        wish = f"{job.workers:,} workers are too many to send everybody everything"
    elif job.preemptible:
        return Method(PEERS, f"preemptible workers, but with {readable(each)} each there is little to lose")
    else:
        return Method(PEERS, "every byte crosses the network once")
    if requests > MOST_REQUESTS or moved < requests * LEAST_PIECE:
        piece = readable(moved / max(requests, 1))
        return Method(PEERS, f"{wish}, but it would take {requests:,} requests of {piece}")
    return Method(OBJECTS, wish)

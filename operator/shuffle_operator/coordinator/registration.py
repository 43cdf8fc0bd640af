"""Who may take part in a job. Used by the machine alone."""

from __future__ import annotations

from shuffle_operator.coordinator.core import Core
from shuffle_operator.coordinator.rebuild import nonsense
from shuffle_protocol.messages import VERSION, Register


def refusal(core: Core, message: Register) -> str:
    """Why a worker must not take part; "" where it may."""
    if message.version != VERSION:
        return (
            f"worker {message.worker} speaks protocol version {message.version}, this coordinator version "
            f"{VERSION}: use the worker image of the operator's own version"
        )
    if core.over:
        return f"job {core.job.name} is over ({core.phase})"
    if message.incarnation in core.lost_incarnations:
        return (
            f"worker {message.worker} was not heard of for too long; its work was given to others and its place "
            "to a new process"
        )
    slots = max(core.job.workers, core.job.most_workers)
    if message.worker < 0 or (message.worker >= slots and message.worker > max(core.members, default=-1)):
        return f"job {core.job.name} has no worker {message.worker}, it has {core.job.workers}"
    wrong = nonsense(message.held) if message.held is not None else ""
    return f"worker {message.worker} says that it holds {wrong}" if wrong else ""

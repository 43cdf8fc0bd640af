"""Who may create pods where a namespace's quota is full: the oldest job, one pod at a time, with pauses that grow.

Without this every job of hundreds would ask again and again, and the one that asked at the right moment would go first.
Jobs stand in line from the moment that a quota refuses a pod of theirs, or that they come to a namespace where one did.
Nothing is asked for those behind the first. A pod of ours that goes is a reason for the first to ask at once.

Bounded: an entry for each job that waits.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shuffle_operator.api.quantities import BadQuantity, parse
from shuffle_operator.launchers.pauses import Pauses

Object = dict[str, Any]
Age = tuple[str, str, str]
"""When a job was created, its name and its uid: the order in which jobs have their turn."""

FIRST, LONGEST = 1.0, 60.0
SOON = 1.0
"""Seconds between two requests at least, however many pods go: the quota's count lags behind them."""

_EXCEEDED = re.compile(r"exceeded quota: ([^,]+)")
_PART = re.compile(r"(requested|limited): ((?:[^,:\s]+=[^,\s]+,?)+)")


def age_of(body: Object) -> Age:
    metadata = body["metadata"]
    return str(metadata.get("creationTimestamp", "")), metadata["name"], metadata["uid"]


def exceeded(message: str) -> str:
    """The quota that is full, by what Kubernetes says of a refused pod; "" where it is nothing to wait for: no quota,
    or one that is smaller than what a single pod asks for."""
    found = _EXCEEDED.search(message)
    return found[1].strip() if found is not None and not too_large(message) else ""


def too_large(message: str) -> bool:
    """Whether a pod asks for more than its quota holds when it is empty."""
    parts = {kind: _amounts(text) for kind, text in _PART.findall(message)}
    limited = parts.get("limited", {})
    return any(amount > limited[name] for name, amount in parts.get("requested", {}).items() if name in limited)


def _amounts(text: str) -> dict[str, Decimal]:
    amounts = {}
    for pair in filter(None, text.split(",")):
        name, _, quantity = pair.partition("=")
        try:
            amounts[name] = parse(quantity)
        except BadQuantity:
            continue
    return amounts


@dataclass(slots=True)
class _Namespace:
    """A namespace whose quota is full."""

    said: str = ""
    """The quota's name."""
    asked: float = float("-inf")
    """When a pod was last asked for."""
    pauses: Pauses = field(default_factory=lambda: Pauses(FIRST, LONGEST))
    waiting: dict[str, Age] = field(default_factory=dict)

    def first(self) -> str:
        """The uid of the oldest."""
        return min(self.waiting.values())[2] if self.waiting else ""


class QuotaQueue:
    """wake: called with the uid of the job whose turn it now is."""

    def __init__(self, wake: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.wake = wake
        self.clock = clock
        self._full: dict[str, _Namespace] = {}

    def place(self, body: Object) -> QueuePlace:
        return QueuePlace(self, str(body["metadata"]["namespace"]), age_of(body))

    def get(self, namespace: str) -> _Namespace | None:
        return self._full.get(namespace)

    def fill(self, namespace: str) -> _Namespace:
        return self._full.setdefault(namespace, _Namespace())

    def leave(self, namespace: str, uid: str) -> None:
        here = self._full.get(namespace)
        if here is None or here.waiting.pop(uid, None) is None:
            return
        if not here.waiting:
            del self._full[namespace]
        else:
            self.wake(here.first())

    def forget(self, uid: str) -> None:
        """A job that is gone, or is not to begin, wherever it stood."""
        for namespace in list(self._full):
            self.leave(namespace, uid)


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """One job's place in the line of its namespace."""

    line: QuotaQueue
    namespace: str
    age: Age

    @property
    def crowded(self) -> bool:
        """A quota of the namespace is full."""
        return self.line.get(self.namespace) is not None

    def turn(self) -> float | None:
        """Seconds until it may ask for a pod, 0.0 for now; None: others are before it, and it is woken. From here on it
        stands in line, where there is one."""
        here = self.line.get(self.namespace)
        if here is None:
            return 0.0
        here.waiting[self.age[2]] = self.age
        return here.pauses.left(self.line.clock()) if here.first() == self.age[2] else None

    def refused(self, quota: str) -> None:
        here = self.line.fill(self.namespace)
        here.waiting[self.age[2]] = self.age
        here.said = quota
        here.asked = self.line.clock()
        if here.first() == self.age[2]:
            here.pauses.failed(here.asked)

    def created(self) -> None:
        here = self.line.get(self.namespace)
        if here is not None:
            here.asked = self.line.clock()
            here.pauses.worked()

    def freed(self) -> None:
        """A pod of this job's went."""
        here = self.line.get(self.namespace)
        if here is not None and here.pauses.until > here.asked + SOON:
            here.pauses.until = here.asked + SOON
            here.pauses.failures = 0
            self.line.wake(here.first())

    def leave(self) -> None:
        """It asks for nothing more."""
        self.line.leave(self.namespace, self.age[2])

    @property
    def sentence(self) -> str:
        """Why it waits, where it is not the first."""
        here = self.line.get(self.namespace)
        return f"older jobs wait for room in the quota {here.said} as well" if here is not None else ""

"""Who watches a coordinator: told of everything that happens, and changing nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shuffle_operator.coordinator.actions import Action
from shuffle_operator.coordinator.events import Event
from shuffle_operator.coordinator.state import JobState
from shuffle_protocol.messages import Register, Sync

Happening = Register | Sync | Event


class Observer(Protocol):
    """Both calls only read the state. They raise nothing: no job may fail because somebody watches."""

    def before(self, state: JobState, cause: Happening, now: float) -> None:
        """Something is about to happen."""
        ...

    def after(self, state: JobState, cause: Happening, actions: Sequence[Action], now: float) -> None:
        """It has happened, and asks for these actions."""
        ...


class Unobserved:
    """Nobody watches."""

    def before(self, state: JobState, cause: Happening, now: float) -> None:
        pass

    def after(self, state: JobState, cause: Happening, actions: Sequence[Action], now: float) -> None:
        pass

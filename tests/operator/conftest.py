"""What the tests of the operator start from."""

from __future__ import annotations

from tests.operator.fixtures import events, puppets, stage

__all__ = ["events", "puppets", "stage"]

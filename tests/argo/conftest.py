"""The operator of tests/operator, whose statuses a workflow would see."""

from __future__ import annotations

from tests.operator.fixtures import events, stage

__all__ = ["events", "stage"]

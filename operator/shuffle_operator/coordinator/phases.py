"""The phases of a job and which leads to which; drawn in docs/coordinator.md, and a test holds the drawing to this."""

from __future__ import annotations

from shuffle_protocol.messages import Phase

TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.PLANNING, Phase.TRANSFERRING, Phase.FAILED}),
    Phase.PLANNING: frozenset({Phase.TRANSFERRING, Phase.FAILED}),
    Phase.TRANSFERRING: frozenset({Phase.WRITING, Phase.COMMITTING, Phase.FAILED}),
    Phase.WRITING: frozenset({Phase.TRANSFERRING, Phase.COMMITTING, Phase.FAILED}),
    Phase.COMMITTING: frozenset({Phase.COMPLETE, Phase.FAILED}),
    Phase.COMPLETE: frozenset(),
    Phase.FAILED: frozenset(),
}
"""Writing goes back to Transferring when an owner is lost; Pending goes straight to Transferring when a coordinator
that lost its memory learns from the workers that the plan is there."""

TERMINAL = frozenset({Phase.COMPLETE, Phase.FAILED})

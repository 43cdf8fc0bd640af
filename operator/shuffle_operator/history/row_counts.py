"""The ledger of rows and bytes that people look at: what was read, sent, stored and written, and whether it agrees."""

from __future__ import annotations

from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.status import Snapshot
from shuffle_operator.history.figures import Amount, Check, RowsAndBytes
from shuffle_operator.history.recorder import RowSums
from shuffle_protocol.jobs import Rechunk
from shuffle_protocol.messages import Phase
from shuffle_protocol.units import counted

WRITTEN = (Phase.COMMITTING, Phase.COMPLETE)
"""Phases in which every group is written."""


def rows_and_bytes(state: JobState, sums: RowSums, told: Snapshot) -> RowsAndBytes:
    unit = "element" if isinstance(state.job.operation, Rechunk) else "row"
    totals = state.ledger.facts.totals if state.ledger is not None else None
    return RowsAndBytes(
        read=Amount(told.rows_read, told.bytes_read),
        sent=Amount(sums.sent + sums.sent_again, told.bytes_sent),
        stored=Amount(told.rows_received, sums.stored_bytes),
        written=Amount(told.rows_written, told.bytes_written),
        spilled=told.bytes_spilled,
        read_again=totals.bytes_read_again if totals is not None else 0,
        sent_again=totals.bytes_sent_again if totals is not None else 0,
        splits_again=told.splits_redone,
        unit=unit,
        checks=_checks(state, sums, told, unit),
    )


def _checks(state: JobState, sums: RowSums, told: Snapshot, unit: str) -> list[Check]:
    """Those of the commit (`coordinator/advancing.py`), as far as the job is."""
    if state.ledger is None:
        return []
    facts = state.ledger.facts
    whole = told.phase in WRITTEN
    arrived = whole and facts.balance.agrees
    keeps = facts.keeps_rows
    text = f"{counted(told.rows_read, unit)} read, {told.rows_written:,} written"
    left_out = "; the output's filter may leave some out" if facts.leaves_out else ""
    return [
        Check(
            "sent = stored",
            arrived if whole else None,
            _sent(sums, told, unit),
        ),
        Check(
            "read = written",
            facts.agree(told.rows_read, told.rows_written) if whole and keeps and facts.rows_known else None,
            text + left_out if keeps else f"{text}; this operation need not keep every {unit}",
        ),
    ]


def _sent(sums: RowSums, told: Snapshot, unit: str) -> str:
    """What went to a worker that was lost is sent again; each group's tally says whether all of it is there once."""
    again = f", {counted(sums.sent_again, unit)} of them because others were lost" if sums.sent_again else ""
    sent = counted(sums.sent + sums.sent_again, unit)
    return f"{sent} sent{again}, {told.rows_received:,} stored; by the tally of each group"

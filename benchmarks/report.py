"""Turns the runs into a table and a JSON file. Pure: records in, text out.

Where an engine ran several times, times are those of the fastest run with the median beside, memory and spill are the
highest seen, and ratios compare medians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.machine import without_paths

NOTHING = "-"


@dataclass(frozen=True)
class Run:
    """One run of one engine.

    outcome          "ok", or in a few words what went wrong
    memory_limit     bytes
    spilled          bytes: the peak in its scratch folder
    spilled_reported  bytes: its own count; None where it gives none
    note             what a reader must know
    balance          the most bytes that one of our workers wrote over the mean; None where it is not known
    """

    workload: str
    engine: str
    repetition: int
    outcome: str
    memory_limit: int
    rows: int
    wall_seconds: float
    cpu_seconds: float
    peak_memory: int
    spilled: int
    spilled_reported: int | None
    files: int
    output_bytes: int
    note: str = ""
    balance: float | None = None

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


@dataclass(frozen=True)
class Summary:
    """All runs of one engine on one workload; the figures are None if none of them succeeded."""

    runs: Sequence[Run]
    wall: float | None
    wall_median: float | None
    cpu: float | None
    cpu_median: float | None

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Summary:
        good = [run for run in runs if run.ok]
        if not good:
            return cls(runs, None, None, None, None)
        return cls(
            runs,
            min(run.wall_seconds for run in good),
            median(run.wall_seconds for run in good),
            min(run.cpu_seconds for run in good),
            median(run.cpu_seconds for run in good),
        )


def outcome(exit_code: int | None, memory_kills: int, timeout: float, last_line: str, problems: Sequence[str]) -> str:
    """How a run ended. A run that was killed for memory, recovered and gave the right output counts as ok."""
    if exit_code == 0:
        return "ok" if not problems else "WRONG: " + "; ".join(problems)
    if exit_code is None:
        words = f"not done in {timeout:.0f} s" + (f", {memory_kills} kills for memory" if memory_kills else "")
    elif memory_kills:
        words = "killed for memory"
    else:
        words = f"failed (exit code {exit_code})"
    return words + (f": {without_paths(last_line)}" if last_line else "")


def tables(runs: Sequence[Run], ours: str) -> str:
    """A Markdown table for each workload."""
    workloads = list(dict.fromkeys(run.workload for run in runs))
    return "\n\n".join(
        _table(workload, [run for run in runs if run.workload == workload], ours) for workload in workloads
    )


def _table(workload: str, runs: Sequence[Run], ours: str) -> str:
    engines = list(dict.fromkeys(run.engine for run in runs))
    summaries = {engine: Summary.of([run for run in runs if run.engine == engine]) for engine in engines}
    baseline = summaries.get(ours)
    repeated = any(len(summary.runs) > 1 for summary in summaries.values())
    best = " best (median)" if repeated else ""
    header = [
        "engine",
        "limit",
        f"wall s{best}",
        f"CPU s{best}",
        "peak memory",
        "spilled",
        "M rows/s",
        "files",
        "verified",
    ]
    header += ["wall x ours", "CPU x ours"]
    body, notes = [], []
    for engine, summary in summaries.items():
        body.append(_row(engine, summary, baseline, repeated))
        notes += [f"{engine}: {run.outcome}" for run in summary.runs if not run.ok]
        notes += [f"{engine}: {summary.runs[0].note}"] if summary.runs[0].note else []
        uneven = [run.balance for run in summary.runs if run.balance is not None]
        notes += [f"{engine}: the worker with most to write wrote {max(uneven):.2f} times the mean"] if uneven else []
    lines = [f"### {workload}, {runs[0].rows:,} rows", "", render(header, body)]
    return "\n".join(lines + [""] * bool(notes) + [f"- {note}" for note in dict.fromkeys(notes)])


def _row(engine: str, summary: Summary, baseline: Summary | None, repeated: bool) -> list[str]:
    runs = summary.runs
    reported = [run.spilled_reported for run in runs if run.spilled_reported is not None]
    good = [run for run in runs if run.ok]
    verified = ("yes" if len(good) == len(runs) else "no") if len(runs) == 1 else f"{len(good)} of {len(runs)}"
    return [
        engine,
        size(runs[0].memory_limit),
        seconds(summary.wall, summary.wall_median if repeated else None),
        seconds(summary.cpu, summary.cpu_median if repeated else None),
        size(max(run.peak_memory for run in runs)),
        size(max(run.spilled for run in runs)) + (f" (says {size(max(reported))})" if reported else ""),
        f"{runs[0].rows / summary.wall / 1e6:.2f}" if summary.wall else NOTHING,
        str(good[0].files) if good else NOTHING,
        verified,
        ratio(summary.wall_median, baseline.wall_median if baseline else None),
        ratio(summary.cpu_median, baseline.cpu_median if baseline else None),
    ]


def scaling(small: Sequence[Run], large: Sequence[Run]) -> str:
    """One sentence for each workload on how memory and time grew with the data."""
    lines = []
    for workload in dict.fromkeys(run.workload for run in small):
        before = [run for run in small if run.workload == workload]
        after = [run for run in large if run.workload == workload]
        if not after or not all(run.ok for run in [*before, *after]):
            lines.append(f"{workload}: not every run succeeded, nothing to compare")
            continue
        memory = max(run.peak_memory for run in after) / max(run.peak_memory for run in before)
        time = median(run.wall_seconds for run in after) / median(run.wall_seconds for run in before)
        cpu = median(run.cpu_seconds for run in after) / median(run.cpu_seconds for run in before)
        rows = after[0].rows / before[0].rows
        lines.append(f"{workload}: data x{rows:.1f}, peak memory x{memory:.2f}, time x{time:.2f}, CPU x{cpu:.2f}")
    return "\n".join(lines)


def document(facts: dict[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """What goes into the JSON file: facts of the run, then each run as it was."""
    return facts | {"runs": [asdict(run) for run in runs]}


def render(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned so that it reads well as plain text too: words left, figures right."""
    widths = [max(len(row[column]) for row in [header, *body]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * width) if index == 0 else ("-" * (width - 1) + ":") for index, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *(line(row) for row in body)])


def seconds(value: float | None, middle: float | None = None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.1f}" if middle is None else f"{value:.1f} ({middle:.1f})"


def size(count: int) -> str:
    """Bytes in decimal units, as disks and networks are sold."""
    if count == 0:
        return "0"
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def ratio(value: float | None, of: float | None) -> str:
    return f"{value / of:.2f}" if value and of else NOTHING

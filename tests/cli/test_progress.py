"""What is shown of a running job: at any width, in a pipe, with a reader that has gone."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from shuffle_local.cli import progress
from shuffle_local.cli.bar import Bar
from shuffle_local.cli.progress import Display, facts
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.messages import Phase


def snapshot(**values: Any) -> Snapshot:
    kinds: dict[Any, object] = {str: "", int: 0, float: 0.0, bool: False, Phase: Phase.TRANSFERRING}
    fields = {field.name: kinds[field.type] for field in msgspec.structs.fields(Snapshot) if field.required}
    return Snapshot(**{**fields, "name": "job", **values})


RUNNING = snapshot(
    message="Transferring: 17 of 40 splits, 1.2 GiB of 2.9 GiB, 4 workers, about 40 s left",
    progress=42.4,
    seconds=72.0,
    rows_read=12_000_000,
    rows_written=5_000,
    bytes_spilled=310 << 20,
)


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120, 200])
def test_phase_percent_and_time_are_always_there(width: int) -> None:
    out = io.StringIO()
    bar = Bar()
    bar.now = RUNNING
    Console(file=out, width=width, force_terminal=True, color_system=None).print(bar)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    if width >= 40:
        assert lines[0].startswith("Transferring")
        assert lines[0].endswith(" 42 %  0:01:12")
    assert ("━" in lines[0]) == (width >= 40)
    if width >= 80:
        assert lines[1] == "17 of 40 splits, 1.2 GiB of 2.9 GiB, 4 workers, about 40 s left"
        assert lines[2] == "12,000,000 rows in, 5,000 out, 310.0 MiB spilled"


def test_the_bar_has_a_calm_colour() -> None:
    out = io.StringIO()
    bar = Bar()
    bar.now = RUNNING
    Console(file=out, width=80, force_terminal=True, color_system="standard", no_color=False).print(bar)
    assert "\x1b[36m━" in out.getvalue()
    assert "\x1b[31m" not in out.getvalue()


def test_a_pipe_gets_fewer_and_fewer_lines(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Display() as display:
        for _ in range(24 * 3600):
            display.show(RUNNING)
            now[0] += 1.0
        display.show(snapshot(phase=Phase.WRITING, message="Writing: 1 of 2 groups"))
    lines = capfd.readouterr().err.splitlines()
    assert 10 < len(lines) < 24 * 6 + 12  # in the end one in ten minutes
    assert "Writing: 1 of 2 groups" in lines[-1]


def test_a_note_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        for _ in range(3):
            display.show(snapshot(message="Transferring: x", notes=["something [was] left"]))
    assert capfd.readouterr().err.count("Note: something [was] left\n") == 1


def test_what_is_not_known_of_a_job_in_a_cluster_is_left_out() -> None:
    labels = [label for label, _ in facts(snapshot(phase=Phase.COMPLETE, seconds=3.0, rows_read=6, rows_written=3))]
    assert labels == ["Rows", "Written", "Time", "Spilled", "Output"]


def test_one_is_one() -> None:
    end = snapshot(phase=Phase.COMPLETE, files=1, splits=1, seconds=2.0, rows_read=10, rows_written=1, workers_lost=1)
    said = dict(facts(end))
    assert said["Rows"] == "10 in, 1 out (5 a second)"
    assert said["Read"].endswith("in 1 split")
    assert said["Written"].endswith("in 1 file")
    assert said["Lost"].startswith("1 worker; ")

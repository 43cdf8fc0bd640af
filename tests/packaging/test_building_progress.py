"""What `make cluster` says while it works."""

from __future__ import annotations

import io

import pytest
from e2e.harness.process import ProgramFailed
from e2e.harness.progress import Progress, Step

STEPS = [Step("compile", 450), Step("start", 60)]


def test_a_program_is_passed_on_line_by_line_and_its_output_is_the_result() -> None:
    told = Progress(STEPS, out=io.StringIO())
    told.next()
    script = "echo '[build] fetching' >&2; echo result; read -r line || echo 'no input' >&2"
    assert told.run(["bash", "-c", script], timeout=60) == "result\n"
    assert told.out.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "  0:00  1 of 2: compile; about 8 min left",
        "  0:00      [build] fetching",
        "  0:00      no input",
    ]


def test_a_failure_ends_with_the_programs_last_line() -> None:
    told = Progress(STEPS, out=io.StringIO())
    told.next()
    with pytest.raises(ProgramFailed, match="exit code 3") as failure:
        told.run(["bash", "-c", "echo some output; echo '[up] error: no room' >&2; exit 3"], timeout=60)
    assert str(failure.value).splitlines()[-1] == "[up] error: no room"
    assert "some output" in str(failure.value)


def test_a_program_that_takes_too_long_is_ended_and_meanwhile_it_is_said_how_long_it_takes() -> None:
    told = Progress(STEPS, out=io.StringIO(), every=0.1)
    told.next()
    with pytest.raises(ProgramFailed, match="took longer than"):
        told.run(["sleep", "60"], timeout=0.5)
    lines = told.out.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "... 1 of 2: compile: less than a minute so far; about 8 min left" in lines[1]


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (0, "about 8 min left"),
        (150, "about 6 min left"),
        (450, "about 1 min left"),
        (451, "longer than usual, then about 1 min"),
    ],
)
def test_what_is_left_falls_with_time(passed: float, said: str) -> None:
    now = [0.0]
    told = Progress(STEPS, out=io.StringIO(), clock=lambda: now[0])
    told.next()
    now[0] = passed
    assert told.left() == said


def test_the_time_is_counted_from_the_first_step() -> None:
    now = [100.0]
    told = Progress(STEPS, out=io.StringIO(), clock=lambda: now[0])
    told.next()
    now[0] += 425
    told.next()
    assert told.out.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "  0:00  1 of 2: compile; about 8 min left",
        "  7:05  2 of 2: start; about 1 min left",
    ]

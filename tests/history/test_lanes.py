"""The timeline's lanes."""

from __future__ import annotations

import pytest

from shuffle_operator.history.figures import COLUMNS, LANES
from shuffle_operator.history.lanes import IDLE, LETTERS, Lanes, memory_letter
from shuffle_operator.history.transfers import Transfers
from shuffle_protocol.measures import Received


def seconds(**of: float) -> list[float]:
    """By letter."""
    return [of.get(letter, 0.0) for letter in LETTERS]


def lane(lanes: Lanes, count: int, worker: int = 0) -> str:
    return "".join(column[worker] for column in lanes.columns(count)[0])


def test_a_report_is_spread_over_the_columns_since_the_last_one() -> None:
    lanes = Lanes(width=1.0)
    lanes.paint(0, 2.0, seconds(r=2.0), again=False, memory=ord("3"))
    lanes.paint(0, 4.5, seconds(w=2.5), again=False, memory=ord("7"))
    assert lane(lanes, 5) == "rrwww"
    assert "".join(column[0] for column in lanes.columns(5)[1]) == "33777"


def test_the_most_decides() -> None:
    lanes = Lanes(width=4.0)
    for letter, much in (("r", 1.0), ("c", 1.5), ("r", 1.0), ("i", 0.5)):
        until = lanes.lanes[0].at + much if lanes.lanes else much
        lanes.paint(0, until, seconds(**{letter: much}), again=False, memory=48)
    assert lane(lanes, 1) == "r"


def test_work_that_is_done_again_is_in_capitals_and_idleness_is_not() -> None:
    lanes = Lanes(width=1.0)
    lanes.paint(0, 1.0, seconds(c=1.0), again=True, memory=48)
    lanes.paint(0, 2.0, seconds(i=1.0), again=True, memory=48)
    assert lane(lanes, 2) == "Ci"
    assert lanes.doing(0) == LETTERS[IDLE]


def test_nobody_there() -> None:
    lanes = Lanes(width=1.0)
    lanes.paint(1, 1.0, seconds(r=1.0), again=False, memory=48)
    lanes.gone(1)
    lanes.absent(1, 3.0)
    assert lane(lanes, 3, 1) == "r--"
    assert lane(lanes, 3, 0) == "---"


@pytest.mark.parametrize("end", [239.0, 240.0, 241.0, 480.0, 481.0, 5000.0])
def test_columns_double_and_nothing_moves(end: float) -> None:
    """Reading for the first quarter, writing for the rest: so it looks at every width."""
    lanes = Lanes(width=1.0)
    at = 0.0
    while at < end:
        at = min(end, at + 1.0)
        lanes.make_room(at)
        letter = "r" if at <= end / 4 else "w"
        lanes.paint(0, at, seconds(**{letter: 1.0}), again=False, memory=48)
    count = -(-int(end) // int(lanes.width))
    text = lane(lanes, count)
    assert count <= COLUMNS
    assert text.strip("rw") == ""
    assert "wr" not in text
    assert text.count("r") == pytest.approx(count / 4, abs=1.5)


def test_slots_beyond_the_most_are_left_out() -> None:
    lanes = Lanes()
    lanes.paint(LANES + 3, 1.0, seconds(r=1.0), again=False, memory=48)
    assert not lanes.lanes
    assert lanes.left_out == {LANES + 3}


@pytest.mark.parametrize(("used", "letter"), [(0, "0"), (31, "0"), (32, "1"), (1023, "v"), (1024, "w"), (9999, "z")])
def test_memory_letters(used: int, letter: str) -> None:
    assert chr(memory_letter(used, 1024)) == letter


def test_the_matrix_stays_small_and_loses_nothing() -> None:
    transfers = Transfers()
    for worker in range(500):
        transfers.report(worker, "a", Received(16, [1000] * 32))
    transfers.report(7, "b", Received(1, [5, 6]))  # another process in the slot, which knows of few workers as yet
    matrix = transfers.matrix({499: 2.5})
    assert matrix.step == 16
    assert len(matrix.bytes) == 32
    assert all(len(row) == 32 for row in matrix.bytes)
    assert sum(map(sum, matrix.bytes)) == 500 * 32_000 + 11
    assert matrix.blocked[31] == 2.5


def test_a_report_that_is_none_is_passed_over() -> None:
    transfers = Transfers()
    transfers.report(0, "a", Received(0, [1]))
    transfers.report(0, "a", Received(1, [1] * 33))
    assert not transfers.matrix({}).reported

"""Curves go through every point of a grid once, square by square; along Hilbert's, each step leads to a neighbour."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from shuffle_worker.columns.arrays import U64
from shuffle_worker.partitioning.curves import hilbert_places, z_places

GRIDS = [(1, 5), (2, 1), (2, 2), (2, 6), (3, 1), (3, 4), (4, 3), (5, 2), (8, 1)]
"""Dimensions and bits."""


def grid(dimensions: int, bits: int) -> list[U64]:
    """Every point."""
    points = np.array(list(itertools.product(range(1 << bits), repeat=dimensions)), np.uint64)
    return [np.ascontiguousarray(points[:, at]) for at in range(dimensions)]


def interleaved(point: list[int], bits: int) -> int:
    place = 0
    for bit in reversed(range(bits)):
        for coordinate in point:
            place = place << 1 | (coordinate >> bit & 1)
    return place


@pytest.mark.parametrize(("dimensions", "bits"), GRIDS)
def test_each_step_along_hilbert_s_curve_leads_to_a_neighbour(dimensions: int, bits: int) -> None:
    columns = grid(dimensions, bits)
    places = hilbert_places(columns, bits)
    assert sorted(places.tolist()) == list(range(1 << bits * dimensions))
    along = np.stack(columns)[:, np.argsort(places)].astype(np.int64)
    assert (abs(np.diff(along, axis=1)).sum(axis=0) == 1).all()
    assert (along[:, 0] == 0).all()


@pytest.mark.parametrize(("dimensions", "bits"), GRIDS)
def test_the_z_curve_has_the_bits_in_turn(dimensions: int, bits: int) -> None:
    columns = grid(dimensions, bits)
    points = np.stack(columns).T.tolist()
    assert z_places(columns, bits).tolist() == [interleaved(point, bits) for point in points]


@pytest.mark.parametrize("curve", [hilbert_places, z_places])
@pytest.mark.parametrize(("dimensions", "bits"), [(2, 5), (3, 3)])
def test_a_square_is_visited_whole_before_the_next(curve: object, dimensions: int, bits: int) -> None:
    columns = grid(dimensions, bits)
    places = curve(columns, bits)  # type: ignore[operator]
    for size in range(1, bits):
        squares: dict[tuple[int, ...], set[int]] = {}
        for place, *point in zip(places.tolist(), *(column.tolist() for column in columns), strict=True):
            squares.setdefault(tuple(one >> size for one in point), set()).add(place >> size * dimensions)
        assert all(len(found) == 1 for found in squares.values())


def test_the_first_turn() -> None:
    x, y = np.array([0, 0, 1, 1], np.uint64), np.array([0, 1, 0, 1], np.uint64)
    assert hilbert_places([x, y], 1).tolist() == [0, 1, 3, 2]
    assert z_places([x, y], 1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("curve", [hilbert_places, z_places])
@pytest.mark.parametrize(("dimensions", "bits"), [(2, 10), (2, 32), (8, 8), (6, 10)])
def test_many_points_at_once_are_as_one_by_one(curve: object, dimensions: int, bits: int) -> None:
    random = np.random.default_rng(bits)
    columns = [random.integers(0, 1 << bits, 20_000, dtype=np.uint64) for _ in range(dimensions)]
    before = [column.copy() for column in columns]
    whole = curve(columns, bits)  # type: ignore[operator]
    assert all((a == b).all() for a, b in zip(before, columns, strict=True))
    for at in (0, 8191, 8192, 19_999):
        assert curve([column[at : at + 1] for column in columns], bits).tolist() == [whole[at]]  # type: ignore[operator]
    assert len(np.unique(whole)) == len(np.unique(np.stack(columns), axis=1).T)

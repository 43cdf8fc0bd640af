"""The functions of a groupBy: the states that each needs, and its result from them.

Functions share states: the sum, the mean and the count of a column need two states together, not four.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import Aggregation
from shuffle_worker.aggregation import counts, decimals, extremes, moments, pairs, picks, smallest, sums, tops, values
from shuffle_worker.aggregation.batches import GroupedBatch, array_of
from shuffle_worker.aggregation.keys import said_key
from shuffle_worker.aggregation.picks import taken
from shuffle_worker.aggregation.results import sum_type
from shuffle_worker.aggregation.state import State
from shuffle_worker.columns.arrays import Array, Bools
from shuffle_worker.columns.arrow import nulls, parts
from shuffle_worker.columns.schema import transport_type

Result = Callable[[pa.RecordBatch], Array]
"""Computes a column of the result. Gets the groups' keys for messages."""

S = TypeVar("S", bound=State)

_MOST_SHORT_DIGITS = 18


class Aggregates:
    """The states of all groups for some aggregations. columns: the schema of the columns to aggregate, in the order of
    the batches' columns."""

    def __init__(self, aggregations: Sequence[Aggregation], columns: pa.Schema) -> None:
        self._columns = columns
        self._shared: dict[Hashable, State] = {}
        self._groups = 0
        self._results = [self._result(one) for one in aggregations]
        self.states = list(self._shared.values())
        self.types = [kind for state in self.states for kind in state.types]
        """Types of the columns as which the states travel."""

    @property
    def nbytes(self) -> int:
        return sum(state.nbytes for state in self.states)

    def update(self, piece: GroupedBatch) -> None:
        self._groups = piece.groups
        for state in self.states:
            state.update(piece)

    def merge(self, piece: GroupedBatch, columns: Sequence[Array]) -> None:
        """columns: what `give` returned."""
        self._groups = piece.groups
        at = 0
        for state in self.states:
            state.merge(piece, list(columns[at : at + len(state.types)]))
            at += len(state.types)

    def give(self) -> list[Array]:
        return [column for state in self.states for column in state.give()]

    def results(self, keys: pa.RecordBatch) -> list[Array]:
        """A column for each aggregation, a row for each group."""
        return [result(keys) for result in self._results]

    # -- the states and the result of each function ------------------------------------------------------------------

    def _result(self, one: Aggregation) -> Result:
        if one.column is None or one.function == "size":
            rows = self._rows()
            return lambda _: array_of(pa.int64(), rows.counts)
        kind = transport_type(self._columns.field(one.column).type)
        at = self._columns.get_field_index(one.column)
        if pa.types.is_null(kind) and one.function not in ("count", "countDistinct", "approxCountDistinct", "list"):
            return lambda keys: nulls(keys.num_rows, pa.null())
        return _MAKERS[one.function](self, one, at, kind)

    def _sum(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:
        present = self._present(one, at)
        out = sum_type(kind)
        if pa.types.is_floating(kind):
            total = self._float_sum(at)
            return lambda _: array_of(out, total.sums, present())
        if pa.types.is_decimal(kind):
            limbs = self._decimal_sum(at, kind).limbs

            def of_decimals(keys: pa.RecordBatch) -> Array:
                found, past = decimals.decimals(limbs(), out)
                self._refuse(one, out, past & present(), keys)
                return masked(found, present())

            return of_decimals
        whole = self._integer_sum(at, kind)

        def of_integers(keys: pa.RecordBatch) -> Array:
            found, past = whole.integers()
            self._refuse(one, out, past & present(), keys)
            return array_of(out, found, present())

        return of_integers

    def _mean(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:
        present, number = self._present(one, at), self._values(at)
        if pa.types.is_floating(kind):
            floats = self._float_sum(at)
            return lambda _: self._divided(floats.sums, number, present())
        if pa.types.is_decimal(kind):
            limbs = self._decimal_sum(at, kind).limbs
            wide = pa.decimal256(76, kind.scale)

            def of_decimals(keys: pa.RecordBatch) -> Array:
                found, past = decimals.decimals(limbs(), wide)
                self._refuse(one, wide, past & present(), keys)
                return self._divided(values.floats_of(found), number, present())

            return of_decimals
        whole = self._integer_sum(at, kind)
        return lambda _: self._divided(whole.floats(), number, present())

    def _extreme(self, one: Aggregation, at: int, kind: pa.DataType, largest: bool) -> Result:
        present = self._present(one, at)
        if extremes.has_numbers(kind):
            number = self._share(("extreme", at, largest), lambda: extremes.Extreme(at, kind, largest))
            return lambda _: number.result(present())
        best = self._share(("best", at, largest), lambda: picks.Best(at, kind, largest))
        return lambda _: masked(best.values, present())

    def _picked(self, one: Aggregation, at: int, kind: pa.DataType, last: bool) -> Result:
        with_nulls = not one.ignore_nulls
        pick = self._share(("first", at, last, with_nulls), lambda: picks.First(at, kind, last, with_nulls))
        return lambda _: pick.values

    def _count(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:  # noqa: ARG002
        number = self._values(at) if one.ignore_nulls else self._rows()
        return lambda _: array_of(pa.int64(), number.counts)

    def _count_distinct(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:
        found = self._share(("distinct", at), lambda: values.DistinctValues(at, kind))
        extra = self._null_as_value(one, at)
        return lambda _: array_of(pa.int64(), found.counts() + extra())

    def _approximate_count_distinct(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:  # noqa: ARG002
        most = smallest.DISTINCT_HASHES
        found = self._share(("hashes", at), lambda: smallest.Smallest(at, most, sample=False))
        extra = self._null_as_value(one, at)
        return lambda _: array_of(pa.int64(), found.distinct() + extra())

    def _variance(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:  # noqa: ARG002
        return self._spread(one, at, lambda of: of.variance())

    def _stddev(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:  # noqa: ARG002
        return self._spread(one, at, lambda of: np.sqrt(of.variance()))

    def _spread(self, one: Aggregation, at: int, of: Callable[[moments.Moments], npt.NDArray[np.float64]]) -> Result:
        present, number, state = self._present(one, at), self._values(at), self._moments(at, skew=False)
        return lambda _: array_of(pa.float64(), of(state), present() & (number.counts > 1))

    def _skew(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:  # noqa: ARG002
        present, number, state = self._present(one, at), self._values(at), self._moments(at, skew=True)
        return lambda _: array_of(pa.float64(), state.skewness(), present() & (number.counts > 2) & ~state.alike())

    def _quantile(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:
        """For a median too."""
        present = self._present(one, at)
        which = 0.5 if one.function == "median" else one.quantile or 0.0
        state = self._everything(at, kind, with_nulls=False)
        return lambda _: array_of(pa.float64(), state.quantile(which), present())

    def _approximate_quantile(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:  # noqa: ARG002
        present, most = self._present(one, at), smallest.SAMPLED_ROWS
        state = self._share(("sample", at), lambda: smallest.Smallest(at, most, sample=True))
        return lambda _: array_of(pa.float64(), state.quantile(one.quantile or 0.0), present())

    def _list(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:
        state = self._everything(at, kind, with_nulls=not one.ignore_nulls)
        out = pa.list_(pa.field("element", kind))
        return lambda _: masked(state.lists(out), state.counts() > 0)

    def _top(self, one: Aggregation, at: int, kind: pa.DataType, largest: bool) -> Result:
        present = self._present(one, at)
        state = self._share(("top", at, one.values, largest), lambda: tops.Top(at, kind, one.values, largest))
        out = pa.list_(pa.field("element", kind))
        return lambda _: masked(state.lists(out), present())

    def _corr(self, one: Aggregation, at: int, kind: pa.DataType) -> Result:  # noqa: ARG002
        assert one.other is not None
        other = self._columns.get_field_index(one.other)
        state = self._share(("pairs", at, other), lambda: pairs.Pairs(at, other))
        rows = self._rows() if not one.ignore_nulls else None

        def correlation(_: pa.RecordBatch) -> Array:
            found, there = state.correlation()
            return array_of(pa.float64(), found, there if rows is None else there & (state.counts == rows.counts))

        return correlation

    # -- states ------------------------------------------------------------------------------------------------------

    def _share(self, name: Hashable, make: Callable[[], S]) -> S:
        if name not in self._shared:
            self._shared[name] = make()
        return cast("S", self._shared[name])

    def _rows(self) -> counts.GroupRows:
        return self._share("rows", counts.GroupRows)

    def _values(self, at: int) -> counts.Values:
        return self._share(("values", at), lambda: counts.Values(at))

    def _integer_sum(self, at: int, kind: pa.DataType) -> sums.IntegerSum:
        return self._share(("sum", at), lambda: sums.IntegerSum(at, kind))

    def _float_sum(self, at: int) -> sums.FloatSum:
        return self._share(("sum", at), lambda: sums.FloatSum(at))

    def _decimal_sum(self, at: int, kind: pa.DataType) -> sums.IntegerSum | decimals.DecimalSum:
        if parts(kind).precision <= _MOST_SHORT_DIGITS:
            return self._integer_sum(at, kind)
        return self._share(("sum", at), lambda: decimals.DecimalSum(at))

    def _moments(self, at: int, skew: bool) -> moments.Moments:
        return self._share(("moments", at, skew), lambda: moments.Moments(at, skew))

    def _everything(self, at: int, kind: pa.DataType, with_nulls: bool) -> values.Everything:
        return self._share(("everything", at, with_nulls), lambda: values.Everything(at, kind, with_nulls))

    def _present(self, one: Aggregation, at: int) -> Callable[[], Bools]:
        """Which groups have a result: those with a value, and without a null if nulls are not ignored."""
        number = self._values(at)
        if one.ignore_nulls:
            return lambda: number.counts > 0
        rows = self._rows()
        return lambda: (number.counts > 0) & (number.counts == rows.counts)

    def _null_as_value(self, one: Aggregation, at: int) -> Callable[[], npt.NDArray[np.int64] | int]:
        if one.ignore_nulls:
            return lambda: 0
        number, rows = self._values(at), self._rows()
        return lambda: (number.counts < rows.counts).astype(np.int64)

    @staticmethod
    def _divided(of: npt.NDArray[np.float64], by: counts.GroupRows, present: Bools) -> Array:
        with np.errstate(all="ignore"):
            return array_of(pa.float64(), of / by.counts, present)

    @staticmethod
    def _refuse(one: Aggregation, kind: pa.DataType, past: Bools, keys: pa.RecordBatch) -> None:
        if past.any():
            key = said_key(keys, int(np.flatnonzero(past)[0]))
            raise DataError(
                f"operation.groupBy: the {one.function} of {one.column!r} does not fit {kind} for {key}; make the "
                f"column a float in the input, or use mean"
            )


_MAKERS: dict[str, Callable[[Aggregates, Aggregation, int, pa.DataType], Result]] = {
    "sum": Aggregates._sum,
    "mean": Aggregates._mean,
    "min": partial(Aggregates._extreme, largest=False),
    "max": partial(Aggregates._extreme, largest=True),
    "count": Aggregates._count,
    "countDistinct": Aggregates._count_distinct,
    "approxCountDistinct": Aggregates._approximate_count_distinct,
    "first": partial(Aggregates._picked, last=False),
    "last": partial(Aggregates._picked, last=True),
    "stddev": Aggregates._stddev,
    "variance": Aggregates._variance,
    "skew": Aggregates._skew,
    "median": Aggregates._quantile,
    "quantile": Aggregates._quantile,
    "approxQuantile": Aggregates._approximate_quantile,
    "list": Aggregates._list,
    "largest": partial(Aggregates._top, largest=True),
    "smallest": partial(Aggregates._top, largest=False),
    "corr": Aggregates._corr,
    "any": partial(Aggregates._extreme, largest=True),
    "all": partial(Aggregates._extreme, largest=False),
}
"""For each function but size, which needs no column: makes its states and returns its result. `results.FUNCTIONS` says
which columns it takes."""


def masked(array: Array, present: Bools) -> Array:
    """The same values, and null also where not present."""
    return array if present.all() else taken(array, np.arange(len(array)), present)

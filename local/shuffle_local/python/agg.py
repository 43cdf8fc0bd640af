"""Aggregations for `group_by(...).agg(...)`: one function for each that the resource has.

    table.group_by("country").agg(agg.count(), total=agg.sum("amount"), top=agg.largest("amount", 10))

A result is called `function_column`, or as the keyword of `agg(...)` says. `ignore_nulls=False` keeps nulls in
(docs/group-by.md).
"""

from __future__ import annotations

from shuffle_local.python.bodies import checked_model
from shuffle_operator.api.operation import Aggregation


def _made(call: str, function: str, column: str | None, ignore_nulls: bool | None, **more: object) -> Aggregation:
    fields = {"function": function, "column": column, "ignore_nulls": ignore_nulls, **more}
    path = ("spec", "operation", "groupBy", "aggregations", 0)
    made: Aggregation = checked_model(Aggregation, fields, path, f"agg.{call}")
    return made


def count(column: str | None = None, *, ignore_nulls: bool | None = None) -> Aggregation:
    """How many values; without a column, how many rows."""
    return _made("count", "count", column, ignore_nulls)


def size() -> Aggregation:
    """How many rows."""
    return _made("size", "size", None, None)


def sum(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:  # noqa: A001 - the resource's word
    return _made("sum", "sum", column, ignore_nulls)


def mean(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    return _made("mean", "mean", column, ignore_nulls)


def min(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:  # noqa: A001 - the resource's word
    return _made("min", "min", column, ignore_nulls)


def max(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:  # noqa: A001 - the resource's word
    return _made("max", "max", column, ignore_nulls)


def count_distinct(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """How many different values, exactly."""
    return _made("count_distinct", "countDistinct", column, ignore_nulls)


def approx_count_distinct(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """About how many different values, in a bounded amount of memory."""
    return _made("approx_count_distinct", "approxCountDistinct", column, ignore_nulls)


def first(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """The first value in the order of the input."""
    return _made("first", "first", column, ignore_nulls)


def last(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """The last value in the order of the input."""
    return _made("last", "last", column, ignore_nulls)


def stddev(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """The standard deviation of a sample."""
    return _made("stddev", "stddev", column, ignore_nulls)


def variance(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """The variance of a sample."""
    return _made("variance", "variance", column, ignore_nulls)


def skew(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """The skewness of a sample."""
    return _made("skew", "skew", column, ignore_nulls)


def corr(column: str, with_: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """Pearson's correlation of two columns."""
    return _made("corr", "corr", column, ignore_nulls, with_=with_)


def median(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:
    """The median, exactly."""
    return _made("median", "median", column, ignore_nulls)


def quantile(column: str, quantile: float, *, ignore_nulls: bool | None = None) -> Aggregation:
    """A quantile from 0 to 1, exactly."""
    return _made("quantile", "quantile", column, ignore_nulls, quantile=quantile)


def approx_quantile(column: str, quantile: float, *, ignore_nulls: bool | None = None) -> Aggregation:
    """A quantile from 0 to 1, about, in a bounded amount of memory."""
    return _made("approx_quantile", "approxQuantile", column, ignore_nulls, quantile=quantile)


def largest(column: str, values: int, *, ignore_nulls: bool | None = None) -> Aggregation:
    """A list of so many of the largest values, the largest first."""
    return _made("largest", "largest", column, ignore_nulls, values=values)


def smallest(column: str, values: int, *, ignore_nulls: bool | None = None) -> Aggregation:
    """A list of so many of the smallest values, the smallest first."""
    return _made("smallest", "smallest", column, ignore_nulls, values=values)


def list(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:  # noqa: A001 - the resource's word
    """All values, in the order of the input."""
    return _made("list", "list", column, ignore_nulls)


def any(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:  # noqa: A001 - the resource's word
    """Whether one of the booleans is true."""
    return _made("any", "any", column, ignore_nulls)


def all(column: str, *, ignore_nulls: bool | None = None) -> Aggregation:  # noqa: A001 - the resource's word
    """Whether all of the booleans are true."""
    return _made("all", "all", column, ignore_nulls)

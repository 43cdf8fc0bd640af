"""What helps where one key has so many rows that its file keeps a worker busy alone: by the job's operation.

All rows of a key are in one file, which is what the operation promises or needs. So more files do not help; what does
is a finer key, or to do without these rows.
"""

from __future__ import annotations

from shuffle_protocol.jobs import AnyOperation, Apply, Cluster, Distinct, GroupBy, Join, Repartition, Sort, Window

FILTER = "or leave these rows out (inputs[].filter), and treat them in a job of their own"

_ADVICE: dict[type, str] = {
    Apply: "The function is called for all rows of a key in one worker: add a column to operation.groupBy.by that "
    f"divides them, {FILTER}.",
    Cluster: "Rows that no column of operation.cluster.by tells apart stand together: add one that does.",
    Distinct: "What is kept of a key is in one file: keep fewer rows of each (operation.distinct.rows), or add a "
    "column to operation.distinct.by.",
    GroupBy: "list, median, quantile and countDistinct keep every value of a key in one worker: use approxQuantile or "
    f"approxCountDistinct, add a column to operation.groupBy.by, {FILTER}.",
    Repartition: "All rows of a key are in one file: add a column to operation.repartition.by that divides them, or "
    "leave `by` out where they need not be together, and rows are shared out in turn.",
    Sort: "Rows that compare equal stand together: add a column to operation.sort.by that tells them apart.",
    Window: "All rows of a window are computed in one worker: add a column to operation.window.by that divides them, "
    f"{FILTER}.",
}
_RANGE = "A range is not cut within a key: add a column to operation.repartition.range that divides these rows."
_AS_OF = (
    "All rows of a key are put in order in one worker: add a column to the keys of both sides (leftOn, rightOn) that "
    f"divides them, {FILTER}."
)
_JOIN = (
    "All rows of a key meet in one worker, where the type of the join must see them together: add a column to the keys "
    f"of both sides (leftOn, rightOn) that divides them, {FILTER}."
)


def advice_on(operation: AnyOperation, key: str) -> str:
    """A sentence or two; "" where no key brings rows together. key: `user = 7`."""
    found = _advice(operation)
    column, _, value = key.rpartition(" = ")
    if value != "null" or " = " in column or not found:
        return found
    without = f"These rows have no key: leave them out where nobody needs them (inputs[].filter: {column} is not null)."
    return f"{without} {found}"


def _advice(operation: AnyOperation) -> str:
    if isinstance(operation, Join):
        return _AS_OF if operation.as_of is not None else _JOIN
    if isinstance(operation, Repartition) and operation.range:
        return _RANGE
    return _ADVICE.get(type(operation), "")

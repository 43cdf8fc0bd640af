"""groupBy gives the rows and the types that an engine of its own gives: every function over every type that fits it,
grouped by every type that can be a key."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.groupby.in_process import aggregation, asked, carried_out, job_of, planned, table_of, write_table
from tests.groupby.random_tables import KEYS, VALUES, random_table

from shuffle_protocol.jobs import Aggregation, GroupBy
from shuffle_worker.aggregation.results import FUNCTIONS
from shuffle_worker.columns.schema import transport_type

SQL = {
    "sum": "sum({})",
    "mean": "avg({}::double)",
    "min": "min({})",
    "max": "max({})",
    "count": "count({})",
    "size": "count(*)",
    "countDistinct": "count(distinct {})",
    "approxCountDistinct": "count(distinct {})",  # exact where there are few
    "first": "first({0} order by row) filter ({0} is not null)",
    "last": "last({0} order by row) filter ({0} is not null)",
    "stddev": "stddev({}::double)",
    "variance": "variance({}::double)",
    "skew": "skewness({}::double)",
    "median": "median({}::double)",
    "quantile": "quantile_cont({}::double, 0.3)",
    "approxQuantile": "quantile_cont({}::double, 0.3)",
    "list": "list({0} order by row) filter ({0} is not null)",
    "largest": "max({}, 3)",
    "smallest": "min({}, 3)",
    "corr": "if(isnan(corr({0}::double, row::double)), null, corr({0}::double, row::double))",
    "any": "bool_or({})",
    "all": "bool_and({})",
}
WITH_NULLS = {
    "count": "count(*)",
    "first": "first({} order by row)",
    "last": "last({} order by row)",
    "list": "list({} order by row)",
    "countDistinct": "count(distinct {0}) + (count({0}) < count(*))::int",
    "approxCountDistinct": "count(distinct {0}) + (count({0}) < count(*))::int",
}
ROUNDED = ("corr", "mean", "stddev", "variance", "skew", "median", "quantile", "approxQuantile")
"""Functions that divide or interpolate: DuckDB rounds at other places."""

FITTING = [
    (function, name)
    for function, fits in FUNCTIONS.items()
    for name, (kind, _) in VALUES.items()
    if function == "size" or fits.takes(transport_type(kind))
    if not (
        function in ("stddev", "variance", "skew", "corr") and name in ("nan", "u64", "wide")
    )  # DuckDB refuses or rounds
    if not (function in ("median", "quantile", "approxQuantile") and name in ("wide", "u64"))
]


def group_by(by: list[str], chosen: list[tuple[str, str, bool]]) -> GroupBy:
    return GroupBy(
        by,
        [
            Aggregation(
                function,
                None if function == "size" else column,
                f"{at} {function} {column}",
                0.3 if "uantile" in function else None,
                ignoring,
                "row" if function == "corr" else None,
                3 if function in ("largest", "smallest") else 0,
            )
            for at, (function, column, ignoring) in enumerate(chosen)
        ],
    )


def in_sql(function: str, column: str, ignoring: bool) -> str:
    quoted = f'"{column}"'
    if column == "bool" and function in ("sum", "mean", "stddev", "variance", "skew"):
        quoted = '"bool"::int'
    if ignoring or function == "size":
        return SQL[function].format(quoted)
    if function in WITH_NULLS:
        return WITH_NULLS[function].format(quoted)
    return f'case when count("{column}") = count(*) then {SQL[function].format(quoted)} end'


def key_of(row: dict[str, Any], by: list[str]) -> tuple[str, ...]:
    """A key that Python compares as Arrow means it: NaN equals itself, zeros have no sign, zones do not matter."""

    def plain(value: Any) -> object:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.timestamp()
        return 0.0 if isinstance(value, float) and value == 0 else value

    return tuple(str(plain(row[name])) for name in by)


def alike(mine: Any, theirs: Any, rounded: bool) -> bool:
    if isinstance(mine, float) and theirs is not None:
        theirs = float(theirs)
        if math.isnan(mine) or math.isinf(mine):
            return str(mine) == str(theirs)
        return mine == theirs or (rounded and math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9))
    return str(mine) == str(theirs) or bool(mine == theirs)


def plain_types(table: pa.Table) -> pa.Table:
    """DuckDB takes the dictionaries apart, for its enums are another type."""
    fields = [field.with_type(transport_type(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 300),
    seed=st.integers(0, 10_000),
    by=st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=3, unique=True),
    chosen=st.lists(st.tuples(st.sampled_from(FITTING), st.booleans()), min_size=1, max_size=6),
    nulls=st.tuples(st.sampled_from([0.0, 0.2, 1.0]), st.booleans()),
    partitions=st.sampled_from([1, 3]),
)
def test_the_rows_that_duckdb_gives(
    tmp_path: Path,
    rows: int,
    seed: int,
    by: list[str],
    chosen: list[tuple[tuple[str, str], bool]],
    nulls: tuple[float, bool],
    partitions: int,
) -> None:
    """nulls: the share of them in each column, and whether keys that are null are dropped."""
    share, drop = nulls
    wanted = [(function, column, ignoring) for (function, column), ignoring in chosen]
    table = random_table(rows, seed, by, sorted({column for _, column, _ in wanted}), share)
    operation = group_by(by, wanted)
    if drop:
        operation = GroupBy(by, operation.aggregations, nulls="Drop")
    folder = write_table(tmp_path / f"{seed}-{rows}-{len(list(tmp_path.iterdir()))}", table, 2, 50)
    found = table_of(carried_out(planned(job_of(folder, operation, partitions))))
    names = [one.name for one in operation.aggregations]
    columns = ", ".join(f'{in_sql(*one)} as "{name}"' for one, name in zip(wanted, names, strict=True))
    keys = ", ".join(f'"{name}"' for name in by)
    kept = " and ".join(f'"{name}" is not null' for name in by) if drop else "true"
    expected = asked(f"select {keys}, {columns} from t where {kept} group by {keys}", t=plain_types(table))
    theirs = {key_of(row, by): row for row in expected.to_pylist()}
    mine = {key_of(row, by): row for row in found.to_pylist()}
    assert len(mine) == found.num_rows and mine.keys() == theirs.keys()
    for key, row in mine.items():
        for (function, column, _), name in zip(wanted, names, strict=True):
            assert alike(row[name], theirs[key][name], function in ROUNDED), (function, column, key)


TYPES = [
    ("sum", "i8", "int64"), ("sum", "i64", "int64"), ("sum", "u64", "uint64"), ("sum", "f32", "double"),
    ("sum", "dec", "decimal128(38, 2)"), ("sum", "wide", "decimal128(38, 1)"), ("sum", "bool", "int64"),
    ("mean", "i64", "double"), ("mean", "dec", "double"), ("min", "i8", "int8"), ("max", "ts", "timestamp[us]"),
    ("min", "cat", "dictionary<values=string, indices=int16, ordered=0>"), ("max", "f32", "float"),
    ("first", "list", "list<element: int64>"), ("last", "str", "string"), ("count", "list", "int64"),
    ("size", "i8", "int64"), ("countDistinct", "str", "int64"), ("approxCountDistinct", "str", "int64"),
    ("stddev", "i8", "double"), ("variance", "dec", "double"), ("skew", "f64", "double"), ("median", "i64", "double"),
    ("quantile", "f32", "double"), ("approxQuantile", "i8", "double"), ("list", "date", "list<element: date32[day]>"),
    ("largest", "ts", "list<element: timestamp[us]>"), ("smallest", "str", "list<element: string>"),
    ("corr", "i8", "double"), ("any", "bool", "bool"), ("all", "bool", "bool"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "column", "type_"), TYPES)
def test_types_of_results(tmp_path: Path, function: str, column: str, type_: str) -> None:
    table = random_table(50, 1, ["text", "word"], [column])
    folder = write_table(tmp_path / "in", table)
    files = carried_out(planned(job_of(folder, group_by(["text", "word"], [(function, column, True)]))))
    schema = table_of(files).schema
    assert str(schema.types[2]) == type_
    assert [str(schema.field(at).type) for at in (0, 1)] == [
        "string",
        "dictionary<values=string, indices=int8, ordered=0>",
    ]


def test_every_function_is_tried_with_every_type_that_it_takes() -> None:
    assert {function for function, _ in FITTING} == set(FUNCTIONS) == {function for function, *_ in TYPES}


def test_dictionaries_and_plain_values_of_two_files_are_one_group(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    words = pa.array(["a", "b", None])
    for number, array in enumerate([words, words.dictionary_encode()]):
        pq.write_table(pa.table({"k": array, "v": pa.array([1, 2, 3])}), tmp_path / "in" / f"{number}.parquet")
    operation = GroupBy(["k"], [aggregation("sum", "v"), aggregation("list", "v")])
    found = table_of(carried_out(planned(job_of(str(tmp_path / "in"), operation)))).sort_by("sum_v").to_pydict()
    assert found == {"k": ["a", "b", None], "sum_v": [2, 4, 6], "list_v": [[1, 1], [2, 2], [3, 3]]}

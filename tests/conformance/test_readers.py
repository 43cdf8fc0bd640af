"""What any reader must do, run against each; the contract is `shuffle_worker.readers.reader`.

A new reader is added by a subclass of `ReaderContract` that says how a table becomes a file. What a format cannot hold
(its `refuses`) is left out.
"""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from tests.plan.jobs import job, numbers, plan_of, read_all

from shuffle_protocol.errors import DataError, InputNotFound
from shuffle_protocol.jobs import ResultColumn
from shuffle_worker.columns.coded import as_dictionaries
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.output.storable import storable
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers import reader_for
from shuffle_worker.storage import Storage, storage_for
from shuffle_worker.writers.json_text import lines

D = decimal.Decimal
NESTED = pa.struct([("a", pa.list_(pa.int32())), ("m", pa.map_(pa.string(), pa.float64()))])

COLUMNS: dict[str, pa.Array] = {
    "null": pa.nulls(5),
    "bool": pa.array([True, None, False, True, None]),
    "int8": pa.array([1, None, -128, 127, 0], pa.int8()),
    "uint64": pa.array([1, None, 2**64 - 1, 0, 5], pa.uint64()),
    "half": pa.array(np.array([1.5, 0, -0.0, np.inf, np.nan], np.float16)),
    "float": pa.array([1.5, None, -0.0, float("inf"), float("nan")], pa.float32()),
    "decimal128": pa.array([D("1.25"), None, D("-99999.99"), D(0), D("0.01")], pa.decimal128(7, 2)),
    "decimal256": pa.array([D(10) ** 50, None, D(-1), D(0), D(7)], pa.decimal256(60, 0)),
    "string": pa.array(["a", None, "", "ünï", "x" * 1000]),
    "large_string": pa.array(["a", None, "", "ünï", "x" * 1000], pa.large_string()),
    "string_view": pa.array(["a", None, "", "ünï", "x" * 1000], pa.string_view()),
    "binary": pa.array([b"\x00", None, b"", b"\xff", b"x" * 100]),
    "fixed": pa.array([b"abc", None, b"xyz", b"\x00\x00\x00", b"qqq"], pa.binary(3)),
    "date": pa.array([datetime.date(2020, 1, 1), None, datetime.date(1900, 1, 1), datetime.date(2262, 1, 1), None]),
    "time": pa.array([1, None, 2, 3, 4], pa.time64("us")),
    "timestamp": pa.array([0, None, -1, 2**40, 1], pa.timestamp("ns")),
    "zoned": pa.array([0, None, -1, 2**40, 1], pa.timestamp("us", "Europe/Berlin")),
    "duration": pa.array([0, None, -1, 2**40, 1], pa.duration("ms")),
    "dictionary": pa.array(["a", None, "b", "a", "b"]).dictionary_encode(),
    "int8_dictionary": pa.array(["a", None, "b", "a", "b"]).cast(pa.dictionary(pa.int8(), pa.string())),
    "ordered": pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 0, 1]), pa.array(["lo", "hi"]), ordered=True),
    "list": pa.array([[1, 2], None, [], [None], [3]], pa.list_(pa.int64())),
    "large_list": pa.array([["a"], None, [], [None], ["b"]], pa.large_list(pa.string())),
    "fixed_list": pa.array([[1, 2], None, [3, 4], [5, None], [6, 7]], pa.list_(pa.int16(), 2)),
    "map": pa.array([[("k", 1)], None, [], [("x", None)], [("y", 2)]], pa.map_(pa.string(), pa.int64())),
    "nested": pa.array(
        [{"a": [1], "m": [("k", 1.0)]}, None, {"a": None, "m": []}, {"a": [None], "m": None}, {}], NESTED
    ),
    "dictionaries_inside": pa.array([["a", "b"], None, [], ["a"], [None]]).cast(
        pa.list_(pa.dictionary(pa.int32(), pa.string()))
    ),
    "uuid": pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([uuid.UUID(int=n).bytes for n in range(5)], pa.binary(16))
    ),
}


class ReaderContract:
    """put: writes a table under a name in the input folder, in row groups of some rows where the format has such.

    suffix: of the files. refuses: columns that the format has no form for. counted: rows are counted beforehand."""

    refuses: ClassVar[frozenset[str]] = frozenset()
    suffix: ClassVar[str] = ""
    counted: ClassVar[bool] = True

    def changes(self, table: pa.Table) -> dict[str, Any]:
        """What a job must say for columns of these types to be read as such."""
        return {}

    @pytest.fixture
    def folder(self) -> Iterator[str]:
        raise NotImplementedError

    def encode(self, table: pa.Table, rows: int) -> bytes:
        raise NotImplementedError

    @pytest.fixture
    def storage(self, folder: str) -> Storage:
        return storage_for(folder)

    @pytest.fixture
    def put(self, folder: str, storage: Storage) -> Callable[..., str]:
        def put(name: str, table: pa.Table, rows: int = 1000) -> str:
            path = f"{folder}/in/{name}{self.suffix}"
            storage.put(path, self.encode(table, rows))
            return path

        return put

    @pytest.mark.parametrize("name", list(COLUMNS))
    def test_every_type_comes_out_as_it_went_in(self, folder: str, put: Callable[..., str], name: str) -> None:
        if name in self.refuses:
            pytest.skip(f"the format has no {name}")
        column = COLUMNS[name]
        field = pa.field(name, column.type, metadata={b"unit": b"m"})
        table = pa.table([column], schema=pa.schema([field], metadata={b"owner": b"me"}))
        put("a", table, 2)
        put("b", table.slice(1, 3), 2)
        found, positions = read_all(plan_of(job(folder, **self.changes(table))))
        expected = pa.concat_tables([self.as_stored(table), self.as_stored(table.slice(1, 3))])
        # Arrow's own format has one name for the entries of a map, so a schema is compared as it travels
        assert found.schema.equals(pa.ipc.read_schema(expected.schema.serialize()), check_metadata=True)
        assert str(found.to_pylist()) == str(expected.to_pylist())  # by text: nan is nan
        self.check_positions(positions.tolist(), list(range(8)))

    def check_positions(self, found: list[int], rows: list[int]) -> None:
        """rows: the numbers of the rows read, among all of the input."""
        assert found == sorted(set(found))
        assert len(found) == len(rows)
        if self.counted:
            assert found == rows

    def as_stored(self, table: pa.Table) -> pa.Table:
        """The table as the format's own library reads it back."""
        return table

    @pytest.mark.parametrize("batch_rows", [1, 7, 100, 1000, 10**6])
    def test_positions_do_not_depend_on_the_batch_size(
        self, folder: str, put: Callable[..., str], batch_rows: int
    ) -> None:
        put("a", numbers(250), 100)
        put("b", numbers(0, 250), 100)
        put("c", numbers(90, 250), 25)
        found, positions = read_all(plan_of(job(folder)), batch_rows)
        assert found.column("id").to_pylist() == list(range(340))
        self.check_positions(positions.tolist(), list(range(340)))
        _, others = read_all(plan_of(job(folder)), 33)
        assert positions.tolist() == others.tolist()

    def test_batches_have_the_transport_schema(self, folder: str, put: Callable[..., str]) -> None:
        dictionary = pa.array(["a", "b"] * 50).dictionary_encode()
        values = {"d": dictionary if "dictionary" not in self.refuses else pa.array(["a", "b"] * 50)}
        put("a", numbers(100, **values, v=pa.array(["x"] * 100)))
        plan = plan_of(job(folder))
        for rows in batches(plan, 10):
            expected = as_dictionaries(transport_schema(plan.arrow_schema()), plan.coded)
            assert rows.batch.schema.equals(expected, check_metadata=True)
            assert rows.batch.num_rows <= 10

    def test_only_the_columns_asked_for_in_their_order(self, folder: str, put: Callable[..., str]) -> None:
        put("a", numbers(10, x=pa.array(range(10)), y=pa.array(["t"] * 10)))
        found, _ = read_all(plan_of(job(folder, columns=["y", "id"])))
        assert found.column_names == ["y", "id"]
        assert found.column("id").to_pylist() == list(range(10))

    def test_a_filter_drops_rows_and_keeps_positions(self, folder: str, put: Callable[..., str]) -> None:
        put("a", numbers(250, even=pa.array([n % 2 == 0 for n in range(250)])), 100)
        put("b", numbers(100, 250, even=pa.array([n % 2 == 0 for n in range(250, 350)])), 30)
        found, positions = read_all(plan_of(job(folder, columns=["id"], filter="even AND id >= 120")), 7)
        assert found.column_names == ["id"]
        assert found.column("id").to_pylist() == list(range(120, 350, 2))
        self.check_positions(positions.tolist(), list(range(120, 350, 2)))

    def test_a_filter_that_nothing_passes(self, folder: str, put: Callable[..., str]) -> None:
        put("a", numbers(100, x=pa.array([n % 10 for n in range(100)])))
        found, positions = read_all(plan_of(job(folder, filter="x = 3 AND x = 4")))
        assert (found.num_rows, len(positions)) == (0, 0)
        assert found.column_names == ["id", "x"]

    def test_folders_are_columns(self, folder: str, put: Callable[..., str]) -> None:
        put("country=DE/year=2025/a", numbers(3))
        put("country=FR/year=2026/a", numbers(3, 3))
        put("country=__HIVE_DEFAULT_PARTITION__/year=2026/a", numbers(3, 6))
        found, _ = read_all(plan_of(job(folder)))
        # the input is in the order of its paths, DE, FR, _: the one of the default partition is not hidden
        assert found.schema.field("year").type == pa.int64()
        assert found.schema.field("country").type == pa.string()
        assert sorted(found.column("country").to_pylist(), key=str) == ["DE"] * 3 + ["FR"] * 3 + [None] * 3
        only, _ = read_all(plan_of(job(folder, filter="country = 'FR'", columns=["id", "year"])))
        assert only.to_pylist() == [{"id": n, "year": 2026} for n in (3, 4, 5)]

    def test_files_that_differ_are_brought_to_one_schema(self, folder: str, put: Callable[..., str]) -> None:
        put("a", pa.table({"n": pa.array([1, 2], pa.int8()), "s": pa.array(["x", None])}))
        put("b", pa.table({"n": pa.array([2**40], pa.int64()), "extra": pa.array([1.5])}))
        found, _ = read_all(plan_of(job(folder)))
        assert found.to_pylist() == [
            {"n": 1, "s": "x", "extra": None},
            {"n": 2, "s": None, "extra": None},
            {"n": 2**40, "s": None, "extra": 1.5},
        ]
        assert found.schema.field("n").type == pa.int64()

    def test_a_file_that_was_replaced_is_named(self, folder: str, put: Callable[..., str]) -> None:
        put("a", numbers(10))
        changing = put("b", numbers(10))
        plan = plan_of(job(folder))
        put("b", numbers(12))
        with pytest.raises(DataError, match="changed while the job ran") as said:
            read_all(plan)
        assert changing in said.value.message

    def test_a_file_replaced_while_it_is_read_is_named(self, folder: str, put: Callable[..., str]) -> None:
        changing = put("a", numbers(5000), 100)
        plan = plan_of(job(folder))
        reading = batches(plan, 10)
        next(reading)
        put("a", numbers(5000, 1), 100)
        with pytest.raises(DataError, match="changed while the job ran") as said:
            list(reading)
        assert changing in said.value.message

    def test_a_file_that_was_removed_is_named(self, folder: str, put: Callable[..., str], storage: Storage) -> None:
        path = put("a", numbers(10))
        plan = plan_of(job(folder))
        storage.remove([path])
        with pytest.raises(InputNotFound, match="removed while the job ran") as said:
            read_all(plan)
        assert path in said.value.message

    def test_stored_bytes_are_counted_once(self, folder: str, put: Callable[..., str]) -> None:
        put("a", numbers(1000), 100)
        put("b", numbers(1000), 1000)
        plan = plan_of(job(folder))
        assert sum(rows.bytes_read for rows in batches(plan, 64)) == sum(split.bytes for split in plan.splits) > 0
        none = plan_of(job(folder, filter="id % 7 = 9"))
        assert sum(rows.bytes_read for rows in batches(none, 64)) == sum(split.bytes for split in none.splits) > 0


def batches(plan: Plan, batch_rows: int) -> Iterator[Any]:
    reader = reader_for(plan, storage_for(plan.job.inputs[0].paths[0], plan.job.inputs[0].storage))
    for split in plan.splits:
        yield from reader.read(split, batch_rows)


class TestParquet(ReaderContract):
    """Local files, which Arrow opens itself."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        return str(tmp_path)

    def encode(self, table: pa.Table, rows: int) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=rows)
        return sink.getvalue().to_pybytes()

    def as_stored(self, table: pa.Table) -> pa.Table:
        return pq.ParquetFile(pa.BufferReader(self.encode(table, 1000))).read()


class TestRemoteParquet(TestParquet):
    """Through a store that only answers ranged requests."""

    @pytest.fixture
    def folder(self) -> Iterator[str]:
        folder = f"memory://{uuid.uuid4().hex}"
        yield folder
        storage = storage_for(folder)
        storage.remove([info.path for info in storage.listing(folder)])


class TestFeather(TestParquet):
    """Record batches of the file format."""

    suffix = ".arrow"

    def encode(self, table: pa.Table, rows: int) -> bytes:
        sink = pa.BufferOutputStream()
        table = table.unify_dictionaries() if "dictionaries_inside" not in table.column_names else table
        with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table, max_chunksize=rows if "dictionaries_inside" not in table.column_names else None)
        return sink.getvalue().to_pybytes()

    def as_stored(self, table: pa.Table) -> pa.Table:
        return table


class TestRemoteFeather(TestFeather, TestRemoteParquet):
    pass


class TestFeatherStream(TestFeather):
    """The stream format: one group, rows not counted."""

    suffix = ".arrows"
    counted = False

    def encode(self, table: pa.Table, rows: int) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
        return sink.getvalue().to_pybytes()


class TestOrc(TestParquet):
    suffix = ".orc"
    refuses = frozenset(
        {
            "null", "uint64", "half", "decimal256", "string_view", "time", "duration", "dictionary", "int8_dictionary",
            "ordered", "dictionaries_inside", "fixed_list", "uuid",
        }
    )  # fmt: skip

    def encode(self, table: pa.Table, rows: int) -> bytes:
        sink = io.BytesIO()
        pyarrow.orc.write_table(table, sink, stripe_size=4096, compression="zstd")
        return sink.getvalue()

    def as_stored(self, table: pa.Table) -> pa.Table:
        return pyarrow.orc.ORCFile(pa.BufferReader(self.encode(table, 0))).read()


class TextContract(TestParquet):
    """Formats whose files do not say their types: the job does, where the values do not show them."""

    counted = False
    refuses = frozenset(
        {
            "half", "binary", "fixed", "duration", "dictionary", "int8_dictionary", "ordered", "list", "large_list",
            "fixed_list", "map", "nested", "dictionaries_inside", "uuid",
        }
    )  # fmt: skip

    def changes(self, table: pa.Table) -> dict[str, Any]:
        return {"schema": [ResultColumn(field.name, str(field.type)) for field in table.schema]}

    def as_stored(self, table: pa.Table) -> pa.Table:
        return pa.table(dict(zip(table.column_names, table.columns, strict=True)))


class TestCsv(TextContract):
    suffix = ".csv"

    def encode(self, table: pa.Table, rows: int) -> bytes:
        sink = io.BytesIO()
        for at, field in enumerate(table.schema):
            if pa.types.is_string_view(field.type):
                table = table.set_column(at, field.name, table.column(at).cast(pa.string()))
        pyarrow.csv.write_csv(table, sink)
        return sink.getvalue()

    def as_stored(self, table: pa.Table) -> pa.Table:
        """An empty text in a file of one column is null, as pandas and DuckDB have it."""
        stored = super().as_stored(table)
        if stored.num_columns > 1:
            return stored
        values = [None if value == "" else value for value in stored.column(0).to_pylist()]
        return pa.table({stored.column_names[0]: pa.array(values, stored.schema.types[0])})


class TestRemoteCsv(TestCsv, TestRemoteParquet):
    def as_stored(self, table: pa.Table) -> pa.Table:
        return TestCsv.as_stored(self, table)


class TestCompressedCsv(TestCsv):
    suffix = ".csv.gz"

    def encode(self, table: pa.Table, rows: int) -> bytes:
        return gzip.compress(super().encode(table, rows), mtime=0)


class TestJson(TextContract):
    suffix = ".json"
    refuses = TextContract.refuses - {"list", "large_list", "fixed_list"}

    def encode(self, table: pa.Table, rows: int) -> bytes:
        out = io.BytesIO()
        for batch in table.cast(storable(table.schema, "JSON")).to_batches():
            out.write(lines(batch).buffers()[2] or b"")
        return out.getvalue()


class TestCompressedJson(TestJson):
    suffix = ".jsonl.zst"

    def encode(self, table: pa.Table, rows: int) -> bytes:
        return pa.Codec("zstd").compress(super().encode(table, rows)).to_pybytes()

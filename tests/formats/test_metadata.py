"""What files say of themselves beside their rows: merged, fitted to the output, or dropped with a word; never wrong.

Each kind of note is a table of cases: what the files say, what the job does, what the output's files say then. What
their readers make of it is tried with pandas, pyarrow and DuckDB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused

from shuffle_protocol.errors import DataError
from shuffle_protocol.memory import Budgets
from shuffle_worker.planning.planner import make_plan
from shuffle_worker.storage import LocalStorage

Json = dict[str, Any]
ID = b"PARQUET:field_id"


class Desk:
    """A folder of Parquet files, jobs on it, and what comes out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "in"
        self.out = root / "out"
        self.source.mkdir()

    def put(self, *tables: pa.Table, where: str = "in") -> None:
        (self.root / where).mkdir(exist_ok=True)
        for number, table in enumerate(tables):
            pq.write_table(table, self.root / where / f"{number}.parquet")

    def run(self, operation: Json | None = None, output: Json | None = None, **source: Any) -> list[str]:
        """Carries the job out; returns the plan's notes."""
        sources = {"path": str(self.source), **source}
        job = job_of(sources, {"path": str(self.out), "partitions": 1, **(output or {})}, operation)
        plan = make_plan(job, Budgets.for_limit(job.memory), [LocalStorage()] * len(job.inputs), LocalStorage())
        carry_out(job, self.root / "scratch")
        return list(plan.summary.notes)

    @property
    def files(self) -> list[Path]:
        return sorted(self.out.rglob("*.parquet"))

    @property
    def schema(self) -> pa.Schema:
        return pq.read_schema(self.files[0])

    def note(self, key: bytes) -> Any:
        """One of the output's notes, as JSON; None where there is none."""
        text = (self.schema.metadata or {}).get(key)
        return None if text is None else json.loads(text)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def noted(table: pa.Table, **notes: Any) -> pa.Table:
    """notes: text, or what becomes JSON."""
    texts = {key: value if isinstance(value, str | bytes) else json.dumps(value) for key, value in notes.items()}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **texts})


# -- pandas ------------------------------------------------------------------------------------------------------------


def frame(first: int = 0, rows: int = 10) -> pd.DataFrame:
    numbers = range(first, first + rows)
    return pd.DataFrame(
        {
            "id": [n * n for n in numbers],
            "text": pd.array([f"t{n}" for n in numbers], dtype="string"),
            "maybe": pd.array([n if n % 3 else None for n in numbers], dtype="Int64"),
            "kind": pd.Categorical([("a", "b", "c")[n % 3] for n in numbers]),
        }
    )


def read(desk: Desk) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(file) for file in desk.files])


def test_an_index_that_counts_rows_counts_those_of_the_output(desk: Desk) -> None:
    desk.put(*(pa.Table.from_pandas(frame(10 * n)) for n in range(3)))
    notes = desk.run({"sort": {"by": [{"column": "id"}]}})
    assert [note for note in notes if "pandas" in note] == []
    found = read(desk)
    pd.testing.assert_index_equal(found.index, pd.RangeIndex(30))
    assert found["maybe"].dtype == "Int64"
    assert found["text"].dtype == "string"
    assert found["kind"].dtype == "category"
    assert found["id"].tolist() == [n * n for n in range(30)]
    assert desk.note(b"pandas")["index_columns"] == []


def test_an_index_that_is_a_column_stays_one(desk: Desk) -> None:
    desk.put(*(pa.Table.from_pandas(frame(10 * n).set_index("id")) for n in range(3)))
    desk.run({"sort": {"by": [{"column": "id"}]}})
    found = read(desk)
    assert found.index.name == "id"
    assert found.index.tolist() == [n * n for n in range(30)]
    assert "id" not in found.columns


@pytest.mark.parametrize(
    ("columns", "index", "left"),
    [
        (["text", "id"], ["id"], ["text"]),
        (["text"], None, ["text"]),
        (["maybe", "kind", "id"], ["id"], ["maybe", "kind"]),
    ],
)
def test_columns_that_are_chosen(desk: Desk, columns: list[str], index: list[str] | None, left: list[str]) -> None:
    desk.put(pa.Table.from_pandas(frame().set_index("id")), pa.Table.from_pandas(frame(10).set_index("id")))
    notes = desk.run(columns=columns)
    found = read(desk)
    assert found.columns.tolist() == left
    assert [found.index.name] == (index or [None])
    assert any("pandas' index" in note for note in notes) == (index is None)
    said = desk.note(b"pandas")
    assert {one["field_name"] for one in said["columns"]} <= set(columns)


@pytest.mark.parametrize("index", [pd.RangeIndex(5, 15), pd.RangeIndex(0, 20, 2), pd.RangeIndex(10, name="n")])
def test_an_index_of_other_row_numbers_is_left_out_with_a_word(desk: Desk, index: pd.RangeIndex) -> None:
    desk.put(pa.Table.from_pandas(frame().set_index(index)))
    notes = desk.run()
    assert any("pandas' index of row numbers" in note for note in notes)
    pd.testing.assert_index_equal(read(desk).index, pd.RangeIndex(10))


def test_files_with_different_indexes(desk: Desk) -> None:
    table = frame()
    desk.put(pa.Table.from_pandas(table.set_index("id")), pa.Table.from_pandas(table))
    notes = desk.run()
    assert any("pandas' index" in note and "different" in note for note in notes)
    found = read(desk)
    assert sorted(found["id"].tolist()) == sorted(2 * [n * n for n in range(10)])


def test_types_that_differ_between_files(desk: Desk) -> None:
    plain = frame().astype({"maybe": "float64"}).drop(columns="maybe").assign(maybe=range(10))
    desk.put(pa.Table.from_pandas(frame()), pa.Table.from_pandas(plain))
    notes = desk.run()
    assert any("pandas' types of 'maybe'" in note for note in notes)
    assert len(read(desk)) == 20


def test_a_file_that_pandas_did_not_write(desk: Desk) -> None:
    table = pa.Table.from_pandas(frame())
    desk.put(table, table.replace_schema_metadata(None))
    notes = desk.run()
    assert any("'pandas' is left out" in note for note in notes)
    assert desk.note(b"pandas") is None
    assert len(read(desk)) == 20


def test_columns_that_become_folders(desk: Desk) -> None:
    desk.put(pa.Table.from_pandas(frame().astype({"kind": str})))
    desk.run(output={"partitionBy": ["kind"]})
    assert "kind" not in {one["field_name"] for one in desk.note(b"pandas")["columns"]}
    found = pd.read_parquet(desk.out)
    assert sorted(found["id"].tolist()) == [n * n for n in range(10)]


def test_groups(desk: Desk) -> None:
    desk.put(pa.Table.from_pandas(frame()))
    desk.run({"groupBy": {"by": ["text"], "aggregations": [{"function": "sum", "column": "id", "as": "id"}]}})
    found = read(desk)
    assert found["text"].dtype == "string"
    assert sorted(found["id"].tolist()) == [n * n for n in range(10)]


@pytest.mark.parametrize("text", ["not JSON", "[]", '"text"', "{}", '{"index_columns": 3}', '{"columns": [1]}'])
def test_a_note_that_is_damaged(desk: Desk, text: str) -> None:
    desk.put(noted(pa.table({"a": [1, 2]}), pandas=text, geo=text, huggingface=text))
    desk.run()
    assert sorted(pd.read_parquet(desk.files[0])["a"].tolist()) == [1, 2]


# -- GeoParquet --------------------------------------------------------------------------------------------------------

WGS = {"id": {"authority": "EPSG", "code": 4326}, "name": "WGS 84"}
UTM = {"id": {"authority": "EPSG", "code": 32632}, "name": "UTM zone 32N"}
POINTS = [bytes([1, 1, 0, 0, 0]) + bytes(16)] * 3
BOX = {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}


def geometry(**changes: Any) -> Json:
    return {"encoding": "WKB", "geometry_types": ["Point"], "crs": WGS, "bbox": [0.0, 0.0, 1.0, 1.0], **changes}


def geo(columns: Json | None = None, primary: str = "geometry") -> Json:
    return {"version": "1.1.0", "primary_column": primary, "columns": columns or {"geometry": geometry()}}


def places(note: Json | None) -> pa.Table:
    table = pa.table(
        {
            "id": [1, 2, 3],
            "geometry": pa.array(POINTS, pa.binary()),
            "other": pa.array(POINTS, pa.binary()),
            "bbox": [{"xmin": 0.0, "ymin": 0.0, "xmax": 1.0, "ymax": 1.0}] * 3,
        }
    )
    return table if note is None else noted(table, geo=note)


BARE = {key: value for key, value in geometry().items() if key != "bbox"}
TWO = {"geometry": geometry(), "other": geometry(crs=UTM)}


@pytest.mark.parametrize(
    ("files", "columns", "expected", "said"),
    [
        ([geo()], None, geo({"geometry": BARE}), "bbox"),
        ([geo(), geo({"geometry": geometry(bbox=[5, 5, 9, 9])})], None, geo({"geometry": BARE}), "bbox"),
        (
            [geo(), geo({"geometry": geometry(geometry_types=["Polygon"])})],
            None,
            geo({"geometry": {**BARE, "geometry_types": ["Point", "Polygon"]}}),
            "bbox",
        ),
        (
            [geo(), geo({"geometry": geometry(geometry_types=[])})],
            None,
            geo({"geometry": {**BARE, "geometry_types": []}}),
            "bbox",
        ),
        ([geo()], ["id"], None, "not in the output"),
        ([geo(TWO)], ["id", "other"], geo({"other": {**BARE, "crs": UTM}}, "other"), "primary column is 'other'"),
        ([geo(TWO)], ["geometry"], geo({"geometry": BARE}), "bbox"),
        ([geo(), None], None, None, "has none"),
        (
            [geo({"geometry": geometry(covering={"bbox": BOX})})],
            None,
            geo({"geometry": {**BARE, "covering": {"bbox": BOX}}}),
            "bbox",
        ),
        ([geo({"geometry": geometry(covering={"bbox": BOX})})], ["geometry"], geo({"geometry": BARE}), "bbox"),
        ([geo(), geo({"geometry": geometry(crs=UTM)})], ["id"], None, "not in the output"),
    ],
)
def test_geometries(
    desk: Desk, files: list[Json | None], columns: list[str] | None, expected: Json | None, said: str
) -> None:
    desk.put(*(places(note) for note in files))
    notes = desk.run(**({"columns": columns} if columns else {}))
    assert desk.note(b"geo") == expected
    assert any(said in note for note in notes), notes


@pytest.mark.parametrize(
    ("one", "two", "named"),
    [
        ({"crs": WGS}, {"crs": UTM}, "EPSG:4326"),
        ({"crs": None}, {"crs": WGS}, "null"),
        ({"edges": "spherical"}, {}, "edges"),
        ({"epoch": 2020.0}, {}, "epoch"),
        ({"encoding": "point"}, {}, "encoding"),
    ],
)
def test_geometries_that_mean_different_things(desk: Desk, one: Json, two: Json, named: str) -> None:
    desk.put(places(geo({"geometry": geometry(**one)})), places(geo({"geometry": geometry(**two)})))
    with refused(DataError, "column 'geometry'", named, "0.parquet", "1.parquet"):
        desk.run()


def test_geometries_of_two_tables(desk: Desk) -> None:
    right = pa.table({"id": [1, 2, 3], "area": pa.array(POINTS, pa.binary())})
    desk.put(places(geo()))
    desk.put(noted(right, geo=geo({"area": geometry(crs=UTM)}, "area")), where="right")
    inputs = [
        {"name": "l", "path": str(desk.source), "columns": ["id", "geometry"]},
        {"name": "r", "path": str(desk.root / "right")},
    ]
    joined(desk, inputs)
    assert desk.note(b"geo")["columns"] == {"geometry": BARE, "area": {**BARE, "crs": UTM}}
    assert desk.note(b"geo")["primary_column"] == "geometry"


def joined(desk: Desk, inputs: list[Json], **join: Any) -> None:
    import yaml

    from shuffle_operator.api.resolve import resolve
    from shuffle_operator.api.validation import load_job

    document = {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": "test"},
        "spec": {
            "operation": {"join": {"left": "l", "right": "r", "on": ["id"], **join}},
            "inputs": inputs,
            "output": {"path": str(desk.out), "partitions": 1},
        },
    }
    job = resolve(load_job(yaml.safe_dump(document)), uid="joined", workers=1, memory=512 << 20)
    carry_out(job, desk.root / "scratch")


# -- ids of columns ----------------------------------------------------------------------------------------------------


def numbered(ids: dict[str, int], inside: int | None = None) -> pa.Table:
    """Columns with field ids, and a struct with one inside."""
    child = pa.field("x", pa.int64(), metadata={ID: str(inside).encode()} if inside is not None else None)
    fields = [pa.field(name, pa.int64(), metadata={ID: str(number).encode()}) for name, number in ids.items()]
    fields.append(pa.field("s", pa.struct([child])))
    arrays = [pa.array([1, 2], pa.int64()) for _ in ids]
    return pa.table([*arrays, pa.array([{"x": 1}, {"x": 2}], fields[-1].type)], schema=pa.schema(fields))


def ids_of(schema: pa.Schema) -> dict[str, int]:
    found = {field.name: field.metadata[ID] for field in schema if field.metadata and ID in field.metadata}
    inner = schema.field("s").type.field(0).metadata if schema.get_field_index("s") >= 0 else None
    if inner and ID in inner:
        found["s.x"] = inner[ID]
    return {name: int(number) for name, number in found.items()}


@pytest.mark.parametrize(
    ("tables", "columns", "expected", "said"),
    [
        ([numbered({"a": 1, "b": 2}, 9)], None, {"a": 1, "b": 2, "s.x": 9}, ""),
        ([numbered({"a": 1, "b": 2}, 9)] * 2, None, {"a": 1, "b": 2, "s.x": 9}, ""),
        ([numbered({"a": 1, "b": 2}, 9)], ["b"], {"b": 2}, ""),
        ([numbered({"a": 1, "b": 2}), numbered({"a": 2, "b": 1})], None, {}, "field id of 'a'"),
        ([numbered({"a": 1, "b": 2}), numbered({"a": 1, "b": 3})], None, {"a": 1}, "field id of 'b'"),
        ([numbered({"a": 1}, 8), numbered({"a": 1}, 9)], None, {"a": 1}, "field id of 's'"),
        ([numbered({"a": 1}), numbered({"b": 1})], None, {}, "field ids are left out"),
    ],
)
def test_field_ids(
    desk: Desk, tables: list[pa.Table], columns: list[str] | None, expected: dict[str, int], said: str
) -> None:
    desk.put(*tables)
    notes = desk.run(**({"columns": columns} if columns else {}))
    assert ids_of(desk.schema) == expected
    assert any(said in note for note in notes) or not said


def test_field_ids_of_two_tables(desk: Desk) -> None:
    desk.put(numbered({"id": 1, "a": 2}))
    desk.put(numbered({"id": 1, "b": 2}), where="right")
    inputs = [
        {"name": "l", "path": str(desk.source), "columns": ["id", "a"]},
        {"name": "r", "path": str(desk.root / "right"), "columns": ["id", "b"]},
    ]
    joined(desk, inputs)
    assert ids_of(desk.schema) == {}


def test_other_notes_on_columns(desk: Desk) -> None:
    def table(**notes: str) -> pa.Table:
        return pa.table([pa.array([1])], schema=pa.schema([pa.field("a", pa.int64(), metadata=notes or None)]))

    desk.put(table(unit="m", origin="x"), table(unit="m", origin="y"))
    notes = desk.run()
    assert desk.schema.field("a").metadata == {b"unit": b"m"}
    assert any("'origin'" in note for note in notes)


# -- what other engines say --------------------------------------------------------------------------------------------


def spark(*names: str) -> Json:
    fields = [{"name": name, "type": "long", "nullable": True, "metadata": {"n": name}} for name in names]
    return {"type": "struct", "fields": fields}


SPARK = "org.apache.spark.sql.parquet.row.metadata"
FEATURES = {name: {"dtype": "int64", "_type": "Value"} for name in ("a", "b", "c")}


@pytest.mark.parametrize(
    ("columns", "operation", "expected"),
    [
        (None, None, spark("a", "b", "c")),
        (["c", "a"], None, spark("c", "a")),
        (None, {"distinct": {"by": ["a"]}}, spark("a", "b", "c")),
        (None, {"groupBy": {"by": ["a"], "aggregations": [{"function": "sum", "column": "b", "as": "total"}]}}, None),
    ],
)
def test_the_schema_of_spark(desk: Desk, columns: list[str] | None, operation: Json | None, expected: Any) -> None:
    desk.put(noted(pa.table({"a": [1, 2], "b": [3, 4], "c": [5, 6]}), **{SPARK: spark("a", "b", "c")}))
    desk.run(operation, **({"columns": columns} if columns else {}))
    assert desk.note(SPARK.encode()) == expected


def test_the_features_of_hugging_face(desk: Desk) -> None:
    note = {"info": {"features": FEATURES, "license": "mit"}, "fingerprint": "f"}
    desk.put(noted(pa.table({"a": [1, 2], "b": [3, 4], "c": [5, 6]}), huggingface=note))
    desk.run(columns=["b", "a"])
    features = {name: FEATURES[name] for name in ("b", "a")}
    assert desk.note(b"huggingface") == {"info": {"features": features, "license": "mit"}}


@pytest.mark.parametrize("key", ["parquet.avro.schema", "iceberg.schema", "parquet.proto.descriptor", "r"])
@pytest.mark.parametrize(("columns", "kept"), [(None, True), (["a"], False), (["b", "a"], False)])
def test_schemas_in_other_words(desk: Desk, key: str, columns: list[str] | None, kept: bool) -> None:
    desk.put(noted(pa.table({"a": [1, 2], "b": [3, 4]}), **{key: "all of it"}))
    notes = desk.run(**({"columns": columns} if columns else {}))
    assert ((desk.schema.metadata or {}).get(key.encode()) == b"all of it") == kept
    assert any(key in note for note in notes) != kept


@pytest.mark.parametrize("key", ["hoodie_min_record_key", "org.apache.hudi.bloomfilter", "sorting_columns"])
def test_figures_of_rows_are_dropped(desk: Desk, key: str) -> None:
    desk.put(noted(pa.table({"a": [1, 2]}), **{key: "x"}))
    notes = desk.run()
    assert key.encode() not in (desk.schema.metadata or {})
    assert any("rows of the input's own files" in note for note in notes)


@pytest.mark.parametrize(
    ("texts", "kept", "said"),
    [
        (["x"], True, ""),
        (["x", "x"], True, ""),
        (["x", "y"], False, "say different things"),
        (["x", None], False, "has none"),
        ([None, "x"], False, "has none"),
    ],
)
def test_a_note_that_nobody_knows(desk: Desk, texts: list[str | None], kept: bool, said: str) -> None:
    plain = pa.table({"a": [1, 2]})
    desk.put(*(plain if text is None else noted(plain, mine=text) for text in texts))
    notes = desk.run({"sort": {"by": [{"column": "a"}]}})
    assert ((desk.schema.metadata or {}).get(b"mine") == b"x") == kept
    assert any(said in note for note in notes) or not said


def test_rows_are_not_said_to_be_in_an_order(desk: Desk) -> None:
    """Files that were written in order say so in their row groups; what is dealt out anew is in none."""
    table = pa.table({"a": list(range(100))})
    pq.write_table(table, desk.source / "0.parquet", sorting_columns=[pq.SortingColumn(0)])
    assert pq.ParquetFile(desk.source / "0.parquet").metadata.row_group(0).sorting_columns
    desk.run({"repartition": {"by": ["a"]}})
    assert not pq.ParquetFile(desk.files[0]).metadata.row_group(0).sorting_columns


def test_other_readers(desk: Desk) -> None:
    desk.put(*(pa.Table.from_pandas(frame(10 * n).set_index("id")) for n in range(2)))
    desk.run(columns=["text", "maybe"])
    rows = duckdb.sql(f"SELECT text, maybe FROM '{desk.out}/*.parquet' ORDER BY text").fetchall()
    assert len(rows) == 20
    assert pq.read_table(desk.files[0]).to_pandas().columns.tolist() == ["text", "maybe"]

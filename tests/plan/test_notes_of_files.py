"""Notes of files that are not built as their readers have them, and what of a note is that of one file alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.plan.jobs import job, plan_of

from shuffle_protocol.errors import DataError
from shuffle_worker.inputs import metadata
from shuffle_worker.inputs.metadata import others
from shuffle_worker.inputs.reading import read_inputs
from shuffle_worker.storage import storage_for

FIELDS = [pa.field("a", pa.int64()), pa.field("g", pa.binary())]
STALE = [b"org.apache.hudi.bloomfilter", b"com.uber.hoodie.bloomfilter", b"hoodie_min_record_key", b"sorting_columns"]
KEYS = [*metadata.KINDS, *STALE]

ENTRY = {"name": "a", "field_name": "a", "pandas_type": "int64", "numpy_type": "int64", "metadata": None}
GOOD: dict[bytes, Any] = {
    b"pandas": {"index_columns": ["a"], "columns": [ENTRY], "column_indexes": [], "pandas_version": "3.0.0"},
    b"geo": {
        "version": "1.1.0",
        "primary_column": "g",
        "columns": {"g": {"encoding": "WKB", "geometry_types": ["Point"]}},
    },
    others.SPARK: {"type": "struct", "fields": [{"name": "a", "type": "long"}, {"name": "g", "type": "binary"}]},
    others.HUGGING_FACE: {"info": {"features": {"a": {}, "g": {}}}},
}
NOT_JSON = [b"", b"not JSON", b"\xff\xfe", b"null", b"3", b'"text"', b"[]", b"{}", b'{"columns":' * 100_000]
PARTS: list[Any] = [None, 3, 1.5, "object", [], {}, [3], [[]], [{}], [None], {"a": 3}, {"g": []}, {"g": {"x": [3]}}]
"""What stands in a note where something else should."""


def replaced(note: Any) -> list[Any]:
    """The note with each part of it, at any depth, replaced by each of `PARTS`, or taken away."""
    found: list[Any] = list(PARTS)
    if isinstance(note, dict):
        for key, inner in note.items():
            found += [{**note, key: other} for other in replaced(inner)]
            found.append({name: one for name, one in note.items() if name != key})
    if isinstance(note, list):
        for at, inner in enumerate(note):
            found += [[*note[:at], other, *note[at + 1 :]] for other in replaced(inner)]
    return found


COVERED = {
    "version": "1.1.0",
    "primary_column": "g",
    "columns": {"g": {**GOOD[b"geo"]["columns"]["g"], "covering": {"bbox": {"xmin": ["bbox", "xmin"]}}, "bbox": [0.5]}},
}
MALFORMED: list[tuple[bytes, bytes]] = [
    *((key, text) for key in KEYS for text in NOT_JSON),
    *((key, json.dumps(note).encode()) for key, good in GOOD.items() for note in replaced(good)),
    *((b"geo", json.dumps(note).encode()) for note in replaced(COVERED)),
]


def schema(key: bytes, text: bytes) -> pa.Schema:
    return metadata.lean(pa.schema(FIELDS, metadata={key: text}))


def through(*files: pa.Schema) -> tuple[pa.Schema, list[str]]:
    """What becomes of the notes of some files in the output, and what is said."""
    agreed, said = metadata.agreed(files[0], [(one, f"{at}.parquet") for at, one in enumerate(files)])
    output, more = metadata.settled(agreed.remove_metadata(), [agreed], agreed.names, same=True)
    return output, [*said, *more]


def test_malformed_notes_are_left_out_or_kept_as_they_are() -> None:
    """Alone, twice, and beside a good one; by pandas what is left can be read."""
    for key, text in MALFORMED:
        one = schema(key, text)
        good = schema(key, json.dumps(GOOD.get(key, "x")).encode())
        for files in ([one], [one, one], [good, one], [one, good]):
            try:
                output, said = through(*files)
            except DataError:  # of geometries that mean different things
                assert key == b"geo"
                assert len(files) > 1
                continue
            assert key in (output.metadata or {}) or key == b"pandas" or said, (key, text)
            if key == b"pandas":
                output.empty_table().to_pandas()


@pytest.mark.parametrize(
    ("key", "note"),
    [
        (b"geo", {**COVERED, "columns": {"g": {"covering": "bbox"}}}),
        (b"geo", {**COVERED, "columns": {"g": {"covering": {"bbox": [1]}}}}),
        (b"geo", {**COVERED, "columns": {"g": {"covering": {"bbox": {"xmin": [["bbox"], "xmin"]}}}}}),
        (b"geo", {**COVERED, "primary_column": ["g"]}),
        (others.SPARK, {"fields": 3}),
        (others.SPARK, {"fields": [{"name": {"a": "a"}}]}),
    ],
)
def test_what_is_malformed_is_said(key: bytes, note: Any) -> None:
    output, said = through(schema(key, json.dumps(note).encode()))
    assert not output.metadata
    assert any(key.decode() in one and "malformed" in one for one in said)


def test_a_malformed_note_of_a_job(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    table = pa.table([pa.array([1]), pa.array([b"x"])], schema=pa.schema(FIELDS))
    for at, types in enumerate(([["Point"]], 3)):
        note = {"columns": {"g": {"geometry_types": types, "covering": 3}}}
        pq.write_table(table.replace_schema_metadata({"geo": json.dumps(note)}), tmp_path / "in" / f"{at}.parquet")
    plan = plan_of(job(tmp_path))
    assert plan.arrow_schema().metadata is None
    assert any("'geo' is left out: it is malformed" in note for note in plan.summary.notes)


# -- of one file alone -------------------------------------------------------------------------------------------------


def ranged(start: int) -> bytes:
    index = {"kind": "range", "name": None, "start": start, "stop": start + 9, "step": 1}
    kinds = {"name": "g", "field_name": "g", "pandas_type": "categorical", "numpy_type": "int8"}
    columns = [ENTRY, {**kinds, "metadata": {"num_categories": start, "ordered": False}}]
    return json.dumps({**GOOD[b"pandas"], "index_columns": [index], "columns": columns}).encode()


def boxed(edge: int) -> bytes:
    return json.dumps({**GOOD[b"geo"], "columns": {"g": {"encoding": "WKB", "bbox": [edge, edge]}}}).encode()


def printed(finger: int) -> bytes:
    return json.dumps({**GOOD[others.HUGGING_FACE], "fingerprint": str(finger)}).encode()


@pytest.mark.parametrize(
    ("key", "texts", "kept", "said"),
    [
        *((key, [b"1" * 100_000, b"2"], False, "rows of the input's own files") for key in STALE),
        (b"pandas", [ranged(0), ranged(0)], True, ""),
        (b"pandas", [ranged(5), ranged(7)], True, "rows are numbered anew"),
        (b"geo", [boxed(1), boxed(2)], True, "bbox is left out"),
        (others.HUGGING_FACE, [printed(1), printed(2)], True, ""),
    ],
)
def test_what_is_of_one_file_alone(tmp_path: Path, key: bytes, texts: list[bytes], kept: bool, said: str) -> None:
    """It is not the output's, and does not keep thousands of files from sharing a schema."""
    (tmp_path / "in").mkdir()
    table = pa.table([pa.array([1]), pa.array([b"x"])], schema=pa.schema(FIELDS))
    for at, text in enumerate(texts):
        pq.write_table(table.replace_schema_metadata({key: text}), tmp_path / "in" / f"{at}.parquet")
    source = job(tmp_path).inputs[0]
    found = read_inputs(source, storage_for(source.paths[0], source.storage))
    assert len({id(file.schema) for file in found.files}) == 1
    assert sum(len(text) for text in (found.files[0].schema.metadata or {}).values()) < 1000
    plan = plan_of(job(tmp_path))
    written = (plan.arrow_schema().metadata or {}).get(key, b"")
    assert bool(written) == kept
    assert not any(b'"%s"' % part in written for part in (b"bbox", b"fingerprint", b"start", b"num_categories"))
    assert any(said in note for note in plan.summary.notes) == bool(said)


def test_an_index_of_categories(tmp_path: Path) -> None:
    """Arrow needs an entry for each column of an index."""
    (tmp_path / "in").mkdir()
    frame = pd.DataFrame({"k": pd.Categorical(["x", "y"]), "v": [1, 2]}).set_index("k")
    table = pa.Table.from_pandas(frame)
    pq.write_table(table, tmp_path / "in" / "0.parquet")
    found = plan_of(job(tmp_path)).arrow_schema().empty_table().to_pandas()
    assert found.index.name == "k"


def test_an_index_whose_types_differ(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for at, kind in enumerate(("int64", "Int64")):
        frame = pd.DataFrame({"k": pd.array([1, 5, 2], dtype=kind), "v": [1, 2, 3]}).set_index("k")
        pq.write_table(pa.Table.from_pandas(frame), tmp_path / "in" / f"{at}.parquet")
    plan = plan_of(job(tmp_path))
    assert plan.arrow_schema().empty_table().to_pandas().columns.tolist() == ["v", "k"]
    assert any("pandas' index is left out: the files do not say the same" in note for note in plan.summary.notes)

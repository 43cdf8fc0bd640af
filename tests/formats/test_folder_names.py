"""The names of the folders of `output.partitionBy`: what Hive and Spark escape and nothing else, so that every reader
has the same values back; what is too long, or too many, is refused in the plan where a sample shows it."""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused
from tests.plan.jobs import job, plan_of

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_worker.columns import hive
from shuffle_worker.output import folders
from shuffle_worker.planning import foldering

HIVE = [*map(chr, range(1, 32)), *"\"#%'*/:=?\\\x7f{[]^"]
"""Of Hive's FileUtils and Spark's ExternalCatalogUtils."""

TEXTS = [
    "中文字符", "ünï", "naïve café", "😀", "a b", " a ", "a+b", "a&b", "a~b", "a|b", "a<b>", "a;b", "a,b", "a}b", "a`b",
    "a@b", "a$b", "(a)", "-", ".", "..", ".x", "_x", "~", "%", "100%", "%41", "a/b", "a=b", "a:b", "a?b", "a*b", "[a]",
    "{a}", "a\\b", "a^b", "a'b", 'a"b', "a#b", "a\tb", "a\nb", "a\x7fb", "a\u00a0b", "a\u200bb", "e\u0301", "\u00e9",
    "a!b", "NULL", "true",
]  # fmt: skip


def test_just_what_hive_and_spark_escape() -> None:
    for code in range(1, 0x3000):
        character = chr(code)
        expected = f"%{code:02X}" if character in HIVE else character
        assert folders.escaped(character) == expected
    assert folders.escaped("\0") == "%00"


def as_spark(text: str) -> str:
    """How Spark and Hive read a name: each escaped byte is a character."""
    return urllib.parse.unquote(text, encoding="latin-1")


@pytest.mark.parametrize("text", [*TEXTS, hive.HIVE_NULL])
def test_a_value_is_read_back_by_all_rules(text: str) -> None:
    folder = folders.folder_of(["k"], [pa.array([text])], 0)
    name, value = folder.split("=", 1)
    assert name == "k"
    assert value != hive.HIVE_NULL
    assert as_spark(value) == hive.unescaped(value) == text


def written(tmp_path: Path, texts: list[str | None], name: str = "k") -> Path:
    source = tmp_path / "in"
    source.mkdir()
    pq.write_table(pa.table({"row": range(len(texts)), name: pa.array(texts, pa.string())}), source / "a.parquet")
    output = {"path": str(tmp_path / "out"), "partitions": 1, "partitionBy": [name]}
    carry_out(job_of(source, output), tmp_path / "scratch")
    return tmp_path / "out"


def test_every_reader_has_the_same_values(tmp_path: Path) -> None:
    out = written(tmp_path, [*TEXTS, None])
    expected = dict(enumerate([*TEXTS, None]))
    schema = pa.schema([("row", pa.int64()), ("k", pa.string())])
    arrow = ds.dataset(out, partitioning=ds.partitioning(pa.schema([("k", pa.string())]), flavor="hive"), schema=schema)
    assert {row["row"]: row["k"] for row in arrow.to_table().to_pylist()} == expected
    with duckdb.connect() as connection:
        rows = connection.sql(
            f"SELECT row, k FROM read_parquet('{out}/**/*.parquet', hive_partitioning = true, "
            "hive_types = {'k': VARCHAR})"
        ).fetchall()
    assert dict(rows) == expected
    carry_out(job_of(out, {"path": str(tmp_path / "again"), "partitions": 1}), tmp_path / "scratch")
    again = pq.read_table(tmp_path / "again" / "part-00000.parquet").to_pylist()
    assert {row["row"]: row["k"] for row in again} == expected


def test_polars_has_the_same_values(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    out = written(tmp_path, [*TEXTS, None])
    found = polars.scan_parquet(
        f"{out}/**/*.parquet", hive_partitioning=True, hive_schema={"k": polars.String}
    ).collect()
    assert {row["row"]: row["k"] for row in found.to_dicts()} == dict(enumerate([*TEXTS, None]))


def test_a_text_like_null_is_a_text(tmp_path: Path) -> None:
    out = written(tmp_path, [hive.HIVE_NULL, None])
    names = {path.parent.name for path in out.rglob("*.parquet")}
    assert names == {"k=%5F_HIVE_DEFAULT_PARTITION__", "k=__HIVE_DEFAULT_PARTITION__"}
    carry_out(job_of(out, {"path": str(tmp_path / "again"), "partitions": 1}), tmp_path / "scratch")
    again = pq.read_table(tmp_path / "again" / "part-00000.parquet").sort_by("row")
    assert again.column("k").to_pylist() == [hive.HIVE_NULL, None]


@pytest.mark.parametrize("name", ["中", "a b", "a=b", "a/b", "100%", "k:1", "a?"])
def test_names_of_columns(tmp_path: Path, name: str) -> None:
    out = written(tmp_path, ["v"], name)
    assert [path.name for path in out.iterdir() if path.is_dir()] == [f"{folders.escaped(name)}=v"]
    carry_out(job_of(out, {"path": str(tmp_path / "again"), "partitions": 1}), tmp_path / "scratch")
    assert pq.read_table(tmp_path / "again" / "part-00000.parquet").to_pylist() == [{"row": 0, name: "v"}]


# -- what is too long --------------------------------------------------------------------------------------------------


def table(tmp_path: Path, values: list[Any], **options: Any) -> None:
    (tmp_path / "in").mkdir(exist_ok=True)
    pq.write_table(pa.table({"row": range(len(values)), "k": values}), tmp_path / "in" / "a.parquet", **options)


@pytest.mark.parametrize(
    ("value", "fits"),
    [("中" * 84, True), ("中" * 85, False), ("x" * 253, True), ("x" * 254, False), ("/" * 84, True), ("/" * 85, False)],
)
def test_names_are_as_long_as_file_systems_take(tmp_path: Path, value: str, fits: bool) -> None:
    table(tmp_path, ["a", value])
    asked = job(tmp_path, partition_by=["k"])
    if fits:
        plan_of(asked)
        return
    with refused(DataError, f"column 'k' has a value of {len(value)} characters ('{value[:40]}'...)", "255 are taken"):
        plan_of(asked)


def test_thirty_five_chinese_characters_fit(tmp_path: Path) -> None:
    values: list[str | None] = ["中" * 35, "文" * 84]
    out = written(tmp_path, values)
    assert {path.parent.name for path in out.rglob("*.parquet")} == {f"k={value}" for value in values}


def test_keys_of_a_store_are_longer() -> None:
    folder = folders.folder_of(["k"], [pa.array(["x" * 900])], 0)
    folders.check_name(folder, ["k"], "s3://bucket/out")
    with pytest.raises(DataError, match=r"makes a key of 1,0\d\d bytes where 1,024 are taken"):
        folders.check_name(folder, ["k"], f"s3a://bucket/{'o' * 100}/")
    with pytest.raises(DataError, match="column 'k' has a value of 900 characters"):
        folders.check_name(f"day=1/{folder}", ["day", "k"], "/tmp/out")


def test_a_value_that_no_sample_shows_fails_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foldering, "check_values", lambda *_: [])
    monkeypatch.setattr("shuffle_worker.planning.planner.check_values", lambda *_: [])
    table(tmp_path, ["a", "x" * 300])
    output = {"path": str(tmp_path / "out"), "partitionBy": ["k"]}
    with refused(DataError, "output.partitionBy: column 'k' has a value of 300 characters"):
        carry_out(job_of(tmp_path / "in", output), tmp_path / "scratch")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.parquet"))


def test_what_a_filter_drops_does_not_count(tmp_path: Path) -> None:
    table(tmp_path, ["a", "x" * 300])
    plan_of(job(tmp_path, partition_by=["k"], filter="LENGTH(k) < 100"))


def test_text_that_is_no_text(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    with pytest.raises(DataError, match=r"column 'k' holds b'\\xff\\xfe', which is no text in UTF-8"):
        folders.folder_of(["k"], [bad], 0)


# -- what is too many --------------------------------------------------------------------------------------------------


def test_sixty_thousand_folders_are_known_in_the_plan(tmp_path: Path) -> None:
    table(tmp_path, [n % 60_000 for n in range(120_000)], row_group_size=30_000)
    with refused(
        InvalidSpec, "output.partitionBy: k has", "10,000 folders", "repartition by them into more partitions"
    ):
        plan_of(job(tmp_path, partition_by=["k"], partitions=1))


@pytest.mark.parametrize("repeated", [1, 40])
def test_so_are_those_of_sorted_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeated: int) -> None:
    """Where the first sample has few values, for each comes many times in a row."""
    monkeypatch.setattr(foldering, "MOST_FOLDERS", 1_000)
    table(tmp_path, [n // repeated for n in range(2_500 * repeated)], row_group_size=1_000)
    for partitions, fits in ((1, False), (2, False), (3, True)):
        asked = job(tmp_path, partition_by=["k"], partitions=partitions)
        if fits:
            assert any("output.partitionBy: about 2,5" in note for note in plan_of(asked).summary.notes)
            continue
        with refused(InvalidSpec, f"{1_000 * partitions:,} folders"):
            plan_of(asked)


def test_a_few_values_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foldering, "_count", lambda *_: pytest.fail("counted"))
    table(tmp_path, [n % 50 for n in range(20_000)], row_group_size=1_000)
    assert plan_of(job(tmp_path, partition_by=["k"])).summary.notes == []

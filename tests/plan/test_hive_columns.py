"""The columns that folders spell out: the same whichever way the files are named, and of the type that their values
have."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.plan.jobs import job, plan_of, read_all, write
from tests.storage.s3_server import BUCKET, open_s3

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_protocol.jobs import ResultColumn, StorageOptions
from shuffle_worker.columns import hive
from shuffle_worker.storage import storage_for

ONE = pa.table({"x": [1]})
TABLE = ["hive/dt=2026-01-01/h=0/a.parquet", "hive/dt=2026-01-01/h=1/a.parquet", "hive/dt=2026-01-02/h=0/b.parquet"]


def values(folder: Path | str, paths: list[str], **changes: Any) -> list[dict[str, Any]]:
    table, _ = read_all(plan_of(job(folder, paths=paths, **changes)))
    return table.to_pylist()


DAY = datetime.date(2026, 1, 1)
FIRST = [{"x": 1, "dt": DAY, "h": 0}, {"x": 1, "dt": DAY, "h": 1}]
ALL = [*FIRST, {"x": 1, "dt": datetime.date(2026, 1, 2), "h": 0}]

SPELLINGS: list[tuple[list[str], list[dict[str, Any]]]] = [
    (["hive"], ALL),
    (["hive/"], ALL),
    (["hive/*"], ALL),
    (["hive/**/*.parquet"], ALL),
    (["hive/*/*/*.parquet"], ALL),
    (["hive/dt=2026-01-0[12]/h=*"], ALL),
    (["hive/dt=2026-01-01/"], FIRST),
    (["hive/dt=2026-01-01"], FIRST),
    (["hive/dt=2026-01-01/*/a.parquet"], FIRST),
    (["hive/dt=2026-01-01/h=0", "hive/dt=2026-01-01/h=1/"], FIRST),
    (["hive/dt=2026-01-01/h=0/*.parquet", "hive/dt=2026-01-01/h=1/a.parquet"], FIRST),
    (TABLE, ALL),
    (["hive/dt=2026-01-01/h=0/a.parquet"], FIRST[:1]),
    (["hive", "hive/dt=2026-01-01"], ALL),
]


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, StorageOptions]]:
    with open_s3() as address:
        settings = StorageOptions(endpoint=address)
        sink = pa.BufferOutputStream()
        pq.write_table(ONE, sink)
        for name in TABLE:
            storage_for("s3://x", settings).put(f"s3://{BUCKET}/lake/{name}", sink.getvalue().to_pybytes())
        yield f"{BUCKET}/lake", settings


@pytest.mark.parametrize(("paths", "expected"), SPELLINGS)
def test_every_way_to_name_files_gives_the_same_columns(
    tmp_path: Path, paths: list[str], expected: list[dict[str, Any]]
) -> None:
    write(tmp_path, dict.fromkeys(TABLE, ONE))
    for prefix in (f"{tmp_path}/in/", f"file://{tmp_path}/in/", f"file:{tmp_path}/in/", f"{tmp_path}//out/../in/./"):
        assert values(tmp_path, [f"{prefix}{path}" for path in paths]) == expected


@pytest.mark.parametrize(
    ("scheme", "paths", "expected"),
    [
        *(("s3", *each) for each in SPELLINGS),
        *((scheme, *SPELLINGS[at]) for scheme in ("s3a", "S3N") for at in (0, 3, 9)),
    ],
)
def test_so_does_every_spelling_of_s3(
    bucket: tuple[str, StorageOptions], scheme: str, paths: list[str], expected: list[dict[str, Any]]
) -> None:
    root, settings = bucket
    asked = [f"{scheme}://{root}/{path}" for path in paths]
    assert values("", asked, storage=settings, out=f"s3://{root}/out") == expected


def test_relative_paths_count_from_where_they_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, dict.fromkeys(TABLE, ONE))
    for at, path in [("", "hive"), ("hive", "."), ("hive", "*"), ("hive/dt=2026-01-01", "../"), ("hive", "../hive")]:
        monkeypatch.chdir(folder / at)
        assert values(tmp_path, [path]) == ALL, (at, path)
    for at, path in [("hive/dt=2026-01-01", "."), ("hive/dt=2026-01-01", "h=*"), ("hive/dt=2026-01-01/h=0", "..")]:
        monkeypatch.chdir(folder / at)
        assert values(tmp_path, [path]) == FIRST, (at, path)


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/a/b", "/a/b"),
        ("/a/k=1", "/a"),
        ("/a/k=1/m=2", "/a"),
        ("/a/k=1/b", "/a/k=1/b"),
        ("/k=1", "/"),
        ("/", "/"),
        ("/a/=1", "/a/=1"),
        ("/a/k=", "/a"),
        ("/a/k=1=2", "/a"),
        ("s3://b", "s3://b"),
        ("s3://b/k=1", "s3://b"),
        ("s3://b/t/k=1/m=2", "s3://b/t"),
        ("s3://b/t//k=1", "s3://b/t"),
        ("s3://b/run=7/out", "s3://b/run=7/out"),
        ("gs://k=1", "gs://k=1"),
    ],
)
def test_the_root_is_the_nearest_folder_without_a_value(folder: str, root: str) -> None:
    assert hive.root_of(folder).rstrip("/") == root.rstrip("/")


def test_the_output_of_an_earlier_job_has_no_column_of_the_folders_above(tmp_path: Path) -> None:
    folder = write(tmp_path, {"run=7/out/k=1/a.parquet": ONE})
    for path in ("run=7/out", "run=7/out/*", "run=7/out/k=1", "run=7/out/k=1/a.parquet"):
        assert values(tmp_path, [f"{folder}/{path}"]) == [{"x": 1, "k": 1}]
    assert values(tmp_path, [f"{folder}/run=7"]) == [{"x": 1, "run": 7, "k": 1}]
    notes = plan_of(job(tmp_path, paths=[f"{folder}/run=7"])).summary.notes
    assert notes == [f"column 'run' is of the folder names in {folder}/run=7; set basePath to leave it out"]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("", ["a", "b", "c"]),
        ("a=1", ["b", "c"]),
        ("a=1/", ["b", "c"]),
        ("a=1/b=2", ["c"]),
        ("a=1/b=2/c=3", []),
        ("a=1/../a=1", ["b", "c"]),
    ],
)
def test_a_base_path_says_where_columns_begin(tmp_path: Path, base: str, expected: list[str]) -> None:
    folder = write(tmp_path, {"a=1/b=2/c=3/f.parquet": ONE})
    for path in ("a=1/b=2/c=3", "a=1/b=2/c=3/*.parquet", "a=1/b=2/c=3/f.parquet"):
        plan = plan_of(job(tmp_path, paths=[f"{folder}/{path}"], base_path=f"{folder}/{base}"))
        assert plan.arrow_schema().names == ["x", *expected]
        assert plan.summary.notes == []


def test_a_base_path_reaches_over_folders_of_no_value(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a=1/sub/b=2/f.parquet": ONE})
    assert values(tmp_path, [f"{folder}/a=1/sub/b=2"]) == [{"x": 1, "b": 2}]
    assert values(tmp_path, [f"{folder}/a=1/sub/b=2"], base_path=str(folder)) == [{"x": 1, "a": 1, "b": 2}]
    assert values(tmp_path, [str(folder)]) == [{"x": 1, "a": 1, "b": 2}]


@pytest.mark.parametrize("base", ["in/other", "in/a=1/b=2/c=3", "in/a", "in/a=1/b=2/c=3/f.parquet"])
def test_a_path_outside_the_base_path(tmp_path: Path, base: str) -> None:
    folder = write(tmp_path, {"a=1/b=2/f.parquet": ONE})
    with pytest.raises(InvalidSpec, match=r"inputs\[0\]\.basePath: .* is not below .*the table's root"):
        plan_of(job(tmp_path, paths=[f"{folder}/a=1/b=2"], base_path=f"{tmp_path}/{base}"))


def test_the_base_path_of_another_spelling(bucket: tuple[str, StorageOptions]) -> None:
    root, settings = bucket
    asked = [f"s3a://{root}/hive/dt=2026-01-01/h=0"]
    expected = [{"x": 1, "h": 0}]
    base = f"S3://{root}/hive/dt=2026-01-01"
    assert values("", asked, storage=settings, out=f"s3://{root}/out", base_path=base) == expected


VALUES: list[tuple[list[str], pa.DataType, list[Any]]] = [
    (["1", "20"], pa.int64(), [1, 20]),
    (["-1", "9223372036854775807"], pa.int64(), [-1, 2**63 - 1]),
    (["1", "9223372036854775808"], pa.string(), ["1", "9223372036854775808"]),
    (["007", "8"], pa.string(), ["007", "8"]),
    (["1", "+1"], pa.string(), ["+1", "1"]),
    (["-0", "1"], pa.string(), ["-0", "1"]),
    (["1", "a"], pa.string(), ["1", "a"]),
    (["1_000"], pa.string(), ["1_000"]),
    (["1.5"], pa.string(), ["1.5"]),
    (["٣"], pa.string(), ["٣"]),
    (["2026-01-01", "2024-02-29"], pa.date32(), [datetime.date(2024, 2, 29), datetime.date(2026, 1, 1)]),
    (["2026-01-01", "2026-02-30"], pa.string(), ["2026-01-01", "2026-02-30"]),
    (["2026-1-1"], pa.string(), ["2026-1-1"]),
    (["20260101"], pa.int64(), [20260101]),
    (["2026-W01-1"], pa.string(), ["2026-W01-1"]),
    (["2026-01-01", "1"], pa.string(), ["1", "2026-01-01"]),
    (["0001-01-01", "9999-12-31"], pa.date32(), [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    (["true", "false"], pa.string(), ["false", "true"]),
    (["", "a"], pa.string(), ["", "a"]),
    (["", "1"], pa.string(), ["", "1"]),
    ([hive.HIVE_NULL, "1"], pa.int64(), [1, None]),
    ([hive.HIVE_NULL, "2026-01-01"], pa.date32(), [datetime.date(2026, 1, 1), None]),
    ([hive.HIVE_NULL], pa.string(), [None]),
    (["%5F_HIVE_DEFAULT_PARTITION__"], pa.string(), ["__HIVE_DEFAULT_PARTITION__"]),
    (["a%20b", "a%2Fb"], pa.string(), ["a b", "a/b"]),
    (["%E4%B8%AD", "中"], pa.string(), ["中", "中"]),
    (["100%", "%zz", "%"], pa.string(), ["%", "%zz", "100%"]),
    (["%E9"], pa.string(), ["%E9"]),
    (["%31"], pa.int64(), [1]),
    (["a=b"], pa.string(), ["a=b"]),
    (["a+b"], pa.string(), ["a+b"]),
]


@pytest.mark.parametrize(("texts", "kind", "expected"), VALUES)
def test_types_of_values(tmp_path: Path, texts: list[str], kind: pa.DataType, expected: list[Any]) -> None:
    folder = write(tmp_path, {f"k={text}/a.parquet": ONE for text in texts})
    plan = plan_of(job(tmp_path))
    field = plan.arrow_schema().field("k")
    assert field.type == kind
    assert field.nullable == (None in expected)
    found = read_all(plan)[0].column("k").to_pylist()
    assert sorted(found, key=lambda value: (value is None, str(value))) == expected
    assert folder.exists()


def test_names_are_decoded_too(tmp_path: Path) -> None:
    write(tmp_path, {"a%3Db=1/%E4%B8%AD=2/x y=3/f": ONE})
    assert values(tmp_path, [f"{tmp_path}/in"]) == [{"x": 1, "a=b": 1, "中": 2, "x y": 3}]


def test_a_filter_on_a_day(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(TABLE, ONE))
    for text in ("dt = DATE '2026-01-02'", "dt > '2026-01-01'", "h = 0 AND dt >= '2026-01-02'"):
        plan = plan_of(job(tmp_path, filter=text))
        assert sum(len(split.pieces) for split in plan.splits) == 1
        assert read_all(plan)[0].to_pylist() == ALL[2:]


def test_one_name_twice_in_a_path(tmp_path: Path) -> None:
    write(tmp_path, {"a=1/a=1/f": ONE})
    assert values(tmp_path, [f"{tmp_path}/in"]) == [{"x": 1, "a": 1}]
    write(tmp_path, {"a=1/a=2/f": ONE})
    with pytest.raises(DataError, match="its folders say a=1 and a=2"):
        plan_of(job(tmp_path))
    expected = [{"x": 1, "a": 2}]
    assert values(tmp_path, [f"{tmp_path}/in/a=1/a=2"], base_path=f"{tmp_path}/in/a=1") == expected


def test_names_that_differ_in_case(tmp_path: Path) -> None:
    write(tmp_path, {"a=1/A=2/f": ONE})
    assert values(tmp_path, [f"{tmp_path}/in"]) == [{"x": 1, "a": 1, "A": 2}]
    write(tmp_path / "other", {"Day=1/f": ONE, "day=2/f": ONE})
    with pytest.raises(DataError, match=r"day=2/f: its folder says 'day' where that of .*Day=1/f says 'Day'"):
        plan_of(job(tmp_path / "other"))


def test_a_column_that_the_files_have_too(tmp_path: Path) -> None:
    write(tmp_path, {"x=7/f": ONE, "x=8/g": pa.table({"y": [2]})})
    plan = plan_of(job(tmp_path))
    assert read_all(plan)[0].select(["x", "y"]).to_pylist() == [{"x": 1, "y": None}, {"x": 8, "y": 2}]
    assert any("column 'x' is in the files and in the names of their folders" in note for note in plan.summary.notes)


def test_folders_that_some_files_lack(tmp_path: Path) -> None:
    write(tmp_path, {"k=1/f": ONE, "g": ONE})
    plan = plan_of(job(tmp_path))
    assert read_all(plan)[0].column("k").to_pylist() == [None, 1]
    assert any("column 'k' is in the folder names of 1 of 2 files" in note for note in plan.summary.notes)


@pytest.mark.parametrize("kind", ["string", "int32", "double"])
def test_a_declared_type(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "in" / "k=5"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("x\n1\n")
    plan = plan_of(job(tmp_path, schema=[ResultColumn("k", kind)]))
    assert str(plan.arrow_schema().field("k").type) == kind
    assert [str(value) for value in read_all(plan)[0].column("k").to_pylist()] in (["5"], ["5.0"])


def test_hidden_folders_and_folders_of_values(tmp_path: Path) -> None:
    write(tmp_path, {"_year=2020/f": ONE, "_tmp/year=1/f": ONE, ".k=3/g": ONE})
    found = values(tmp_path, [f"{tmp_path}/in"])
    assert found == [{"x": 1, ".k": 3, "_year": None}, {"x": 1, ".k": None, "_year": 2020}]


def test_links_are_folders_by_their_own_names(tmp_path: Path) -> None:
    write(tmp_path, {"k=1/f": ONE})
    os.symlink(tmp_path / "in" / "k=1", tmp_path / "k=2")  # noqa: PTH211
    assert values(tmp_path, [f"{tmp_path}/k=2"]) == [{"x": 1, "k": 2}]

"""Jobs that cannot be carried out, one by one: refused in the plan, by name, with nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.plan.jobs import job, numbers, plan_of, write

from shuffle_protocol.errors import DataError, InputNotFound, InvalidSpec, JobError, OutOfMemory, OutputExists
from shuffle_protocol.jobs import Repartition, Sort, SortKey

NAMED = pa.table({"user_id": [1, 2], "amount": [1.5, 2.5], "tags": [["a"], ["b"]]})


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., JobError]:
    """Plans a job that must be refused; checks that the folder is as it was."""

    def refused(*arguments: Any, **changes: Any) -> JobError:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        with pytest.raises(JobError) as said:
            plan_of(job(tmp_path, *arguments, **changes))
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        assert said.value.refusal
        assert "Traceback" not in said.value.message
        return said.value

    return refused


def check(error: JobError, kind: type[JobError], *parts: str) -> None:
    assert type(error) is kind or isinstance(error, kind), error
    for part in parts:
        assert part in error.message, error.message


def test_no_such_folder(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    check(refused(), InputNotFound, f"{tmp_path}/in", "no such file or folder")


def test_a_folder_without_files(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "_SUCCESS").write_bytes(b"")
    check(refused(), InputNotFound, f"{tmp_path}/in", "holds no files")


def test_a_glob_that_matches_nothing(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    check(refused(paths=[f"{tmp_path}/in/*.parq"]), InputNotFound, "*.parq", "matches no file")


def test_one_of_several_paths_is_missing(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    check(refused(paths=[f"{tmp_path}/in", f"{tmp_path}/other"]), InputNotFound, f"{tmp_path}/other")


def test_an_empty_file(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    (tmp_path / "in" / "b.parquet").write_bytes(b"")
    check(refused(), DataError, f"{tmp_path}/in/b.parquet", "empty (zero bytes)")


@pytest.mark.parametrize("keep", [4, 20, -1, -8, -100])
def test_a_truncated_file(tmp_path: Path, refused: Callable[..., JobError], keep: int) -> None:
    folder = write(tmp_path, {"a.parquet": NAMED, "b.parquet": NAMED})
    whole = (folder / "b.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(whole[:keep])
    check(refused(), DataError, f"{folder}/b.parquet", "truncated")


@pytest.mark.parametrize("content", [b"id,x\n1,2\n", b"{}", b"P", b"\x1f\x8b\x08" + bytes(100)])
def test_not_parquet_in_spite_of_its_name(tmp_path: Path, refused: Callable[..., JobError], content: bytes) -> None:
    folder = write(tmp_path, {"a.parquet": NAMED})
    (folder / "b.parquet").write_bytes(content)
    check(refused(), DataError, f"{folder}/b.parquet", "not a Parquet file", "*.parquet")


def test_a_damaged_footer(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    folder = write(tmp_path, {"a.parquet": NAMED})
    whole = bytearray((folder / "a.parquet").read_bytes())
    whole[-60:-12] = bytes(48)
    (folder / "a.parquet").write_bytes(bytes(whole))
    check(refused(), DataError, f"{folder}/a.parquet", "damaged")


def test_duplicate_column_names(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    folder = write(tmp_path, {"a.parquet": twice})
    check(refused(), DataError, f"{folder}/a.parquet", "two columns are called 'x'")


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (Repartition(by=["usr_id"]), "operation.repartition.by[0]"),
        (Repartition(by=["amount", "usr_id"]), "operation.repartition.by[1]"),
        (Repartition(range=["usr_id"]), "operation.repartition.range[0]"),
        (Sort(by=[SortKey("usr_id")]), "operation.sort.by[0].column"),
    ],
)
def test_a_key_that_does_not_exist(
    tmp_path: Path, refused: Callable[..., JobError], operation: Repartition | Sort, field: str
) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    check(refused(operation), InvalidSpec, field, "no column 'usr_id'", "did you mean 'user_id'?")


def test_other_columns_that_do_not_exist(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    check(refused(columns=["amount", "User_id"]), InvalidSpec, "inputs[0].columns[1]", "did you mean 'user_id'?")
    check(refused(columns=["xyz"]), InvalidSpec, "its columns are user_id, amount, tags")
    check(refused(sort_within=[SortKey("amt")]), InvalidSpec, "output.sortWithin[0]", "no column 'amt'")
    check(refused(filter="amuont > 1"), InvalidSpec, "inputs[0].filter", "did you mean 'amount'?")


def test_columns_named_twice_or_not_at_all(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    check(refused(columns=["amount", "amount"]), InvalidSpec, "'amount' is named twice")
    check(refused(columns=[]), InvalidSpec, "inputs[0].columns: is empty")
    check(refused(Repartition(by=["amount", "amount"])), InvalidSpec, "repartition.by: 'amount' is named twice")
    check(refused(Sort(by=[SortKey("amount"), SortKey("amount", True)])), InvalidSpec, "'amount' is named twice")
    check(refused(Sort(by=[])), InvalidSpec, "operation.sort.by: is empty")


def test_a_key_that_is_not_kept(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    error = refused(Repartition(by=["user_id"]), columns=["amount"])
    check(error, InvalidSpec, "'user_id' is a key but not among inputs[0].columns")


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64()), pa.map_(pa.string(), pa.int64()), pa.struct([("a", pa.int8())])]
)
@pytest.mark.parametrize("operation", [Repartition(by=["k"]), Repartition(range=["k"]), Sort(by=[SortKey("k")])])
def test_a_key_without_an_order(
    tmp_path: Path, refused: Callable[..., JobError], kind: pa.DataType, operation: Repartition | Sort
) -> None:
    write(tmp_path, {"a.parquet": pa.table({"k": pa.nulls(3, kind)})})
    check(refused(operation), InvalidSpec, "'k' is", str(kind).split("<", maxsplit=1)[0], "neither ordered nor hashed")


@pytest.mark.parametrize("text", ["amount = = 1", "amount > 'x'", "amount", "nothing(amount) = 1"])
def test_a_filter_that_cannot_be_meant(tmp_path: Path, refused: Callable[..., JobError], text: str) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    check(refused(filter=text), InvalidSpec, "inputs[0].filter")


def test_two_schemas_that_do_not_fit(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    folder = write(tmp_path, {"a.parquet": pa.table({"x": [1]}), "b.parquet": pa.table({"x": ["1"]})})
    check(refused(), DataError, "column 'x'", f"int64 in {folder}/a.parquet", f"string in {folder}/b.parquet")


def test_folders_that_contradict_the_files(tmp_path: Path) -> None:
    write(tmp_path, {"n=1/a": pa.table({"x": [1]}), "n=two/b": pa.table({"x": [1], "n": pa.array([5])})})
    from tests.plan.jobs import read_all

    found, _ = read_all(plan_of(job(tmp_path, paths=[f"{tmp_path}/in/n=1", f"{tmp_path}/in/n=two"])))
    assert found.column("n").to_pylist() == [1, 5]
    assert read_all(plan_of(job(tmp_path)))[0].column("n").to_pylist() == [1, 5]
    write(tmp_path, {"n=three/c": pa.table({"x": [1]})})
    with pytest.raises(DataError, match="its folder says n=three, which is no int64"):
        plan_of(job(tmp_path))


def test_output_that_exists(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    (tmp_path / "out").mkdir()
    plan_of(job(tmp_path))  # an empty folder is no output
    (tmp_path / "out" / "part-00000.parquet").write_bytes(b"precious")
    check(refused(), OutputExists, f"{tmp_path}/out", "part-00000.parquet", "onExisting: Overwrite")
    assert (tmp_path / "out" / "part-00000.parquet").read_bytes() == b"precious"
    plan_of(job(tmp_path, overwrite=True))
    (tmp_path / "out" / "part-00000.parquet").unlink()
    (tmp_path / "out" / "_SUCCESS").write_bytes(b"")
    check(refused(), OutputExists, "_SUCCESS")
    (tmp_path / "out" / "_SUCCESS").unlink()
    staging = tmp_path / "out" / "_shuffle-test-uid"
    staging.mkdir()
    (staging / "plan").write_bytes(b"")
    plan_of(job(tmp_path))  # what a plan lease that died left there


def test_output_that_is_a_file(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    (tmp_path / "out").write_bytes(b"x")
    check(refused(), InvalidSpec, "output.path", "is a file")


@pytest.mark.parametrize("out", ["in", "in/", "in/out", "in/deep/out"])
def test_output_inside_the_input(tmp_path: Path, refused: Callable[..., JobError], out: str) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    error = refused(out=f"{tmp_path}/{out}", overwrite=True)
    check(error, InvalidSpec, "output.path", "is the input itself" if out.rstrip("/") == "in" else "inside the input")


def test_output_that_a_glob_of_the_input_would_name(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a/x.parquet": NAMED})
    error = refused(paths=[f"{tmp_path}/in/*/*.parquet"], out=f"{tmp_path}/in/out")
    check(error, InvalidSpec, "inside the input")
    plan_of(job(tmp_path, paths=[f"{tmp_path}/in/a/*.parquet"], out=f"{tmp_path}/in/out"))


@pytest.mark.parametrize("out", ["", "in", "file://in"])
def test_input_inside_the_output(tmp_path: Path, refused: Callable[..., JobError], out: str) -> None:
    write(tmp_path, {"a.parquet": NAMED})
    target = f"file://{tmp_path}/in" if out.startswith("file") else f"{tmp_path}/{out}".rstrip("/")
    error = refused(paths=[f"{tmp_path}/in/a.parquet"], out=target, overwrite=True)
    check(error, InvalidSpec, "output.path", "is inside")


def test_a_wrong_suffix(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.csv": NAMED})
    check(refused(), DataError, "a.csv: not CSV: it begins as Parquet", "set `format`")
    check(refused(format="ORC"), DataError, "a.csv: not ORC", "b'PAR'")
    check(refused(format="Zarr"), InvalidSpec, "inputs[0].format: Zarr cannot be read")
    write(tmp_path, {"b.orc": NAMED})
    check(refused(), InvalidSpec, "inputs[0].path", "a.csv is CSV by its name and", "b.orc is ORC", "set `format`")


def test_too_little_memory_for_a_row(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": pa.table({"x": ["y" * (4 << 20)] * 2})})
    error = refused(memory=256 << 20)
    check(error, OutOfMemory, "limits.memory", "256.0 MiB for each worker is too little", "rows of about 4.0 MiB")
    needed = int(error.message.split("need ")[-1].split(".")[0])
    assert plan_of(job(tmp_path, memory=(needed + 1) << 20)).summary.memory_needed == needed << 20


def test_a_target_size_that_makes_too_many_files(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": numbers(300_000)}, compression="none", use_dictionary=False)
    check(refused(target_bytes=1), InvalidSpec, "output.targetPartitionSize", "200,000 are the most")


def test_an_input_without_columns(tmp_path: Path, refused: Callable[..., JobError]) -> None:
    write(tmp_path, {"a.parquet": pa.table({})})
    check(refused(), DataError, "no columns")


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.parquet": NAMED})
    (folder / "c.parquet").symlink_to(folder / "absent")
    with pytest.raises(InputNotFound, match=f"{folder}/c.parquet: is a link to {folder}/absent, which does not exist"):
        plan_of(job(tmp_path))

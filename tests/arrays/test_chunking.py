"""What users write of chunks, shards and selections, and what is said where it cannot be."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from tests.arrays.in_process import MIB, make, rechunk, rechunk_job

from shuffle_protocol.errors import DataError, InputNotFound, InvalidSpec, JobError, OutOfMemory, OutputExists
from shuffle_protocol.jobs import Rechunk
from shuffle_worker.arrays.chunking import chunk_lengths, selection, shard_lengths
from shuffle_worker.transfer.work import WorkSetup

DIMS = ["time", "y", "x"]
SHAPE = (8760, 72, 144)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (1, 72, 144)),
        ({"time": -1}, (8760, 72, 144)),
        ({"time": 24, "x": 10_000}, (24, 72, 144)),
        ({"0": 24, "2": 7}, (24, 72, 7)),
    ],
)
def test_lengths(asked: dict[str, int | str], expected: tuple[int, ...]) -> None:
    assert chunk_lengths(asked, DIMS, SHAPE, (1, 72, 144), 4, MIB) == expected


@given(
    shape=st.lists(st.integers(1, 5000), min_size=1, max_size=4),
    target=st.integers(1 << 10, 1 << 24),
    data=st.data(),
)
def test_auto_comes_near_its_target_and_never_above(shape: list[int], target: int, data: st.DataObject) -> None:
    kept = [data.draw(st.integers(1, size)) for size in shape]
    dims = [f"d{at}" for at in range(len(shape))]
    found = chunk_lengths(dict.fromkeys(dims, "Auto"), dims, shape, kept, 4, target)
    size = math.prod(found) * 4
    assert size <= max(target, 4)
    assert all(1 <= length <= whole for length, whole in zip(found, shape, strict=True))
    assert size * 2 ** (2 * len(shape)) >= min(target, math.prod(shape) * 4)


def test_auto_beside_fixed_lengths() -> None:
    found = chunk_lengths({"time": -1, "y": "Auto", "x": "Auto"}, DIMS, SHAPE, (1, 72, 144), 4, 4 * MIB)
    assert found[0] == 8760
    assert MIB <= math.prod(found) * 4 <= 4 * MIB


@given(st.integers(0, 30), st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 9))
def test_selections_are_python_slices(size: int, start: int, stop: int, step: int) -> None:
    whole = range(size)[start:stop:step]
    if not whole and size:
        with pytest.raises(InvalidSpec, match="selects nothing"):
            selection(f"{start}:{stop}:{step}", size, "select.x")
    else:
        found = selection(f"{start}:{stop}:{step}", size, "select.x")
        assert [found.start + at * found.step for at in range(found.length)] == list(whole)


@pytest.mark.parametrize("text", ["5", "a:b", "1:2:3:4", "", "::-1"])
def test_what_is_no_selection(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"select\.x"):
        selection(text, 10, "select.x")


def test_shards_are_whole_chunks() -> None:
    assert shard_lengths({"time": -1}, DIMS, SHAPE, (24, 72, 144), "t2m") == (8760, 72, 144)
    assert shard_lengths({"x": 500}, DIMS, SHAPE, (24, 72, 100), "t2m") == (24, 72, 200)
    with pytest.raises(InvalidSpec, match=r"50 is no multiple of the chunk length 24 .*take 48 or 72"):
        shard_lengths({"time": 50}, DIMS, SHAPE, (24, 72, 144), "t2m")


# -- refused before anything is written ------------------------------------------------------------------------------


def store(folder: Path) -> Path:
    root = zarr.create_group(folder / "in")
    for name in ("t2m", "rain"):
        one = root.create_array(name, shape=(6, 4), chunks=(1, 4), dtype="f4", dimension_names=["time", "x"])
        one[:] = np.ones((6, 4))
    root.create_array("time", shape=(6,), chunks=(6,), dtype="i8", dimension_names=["time"])
    return folder / "in"


@pytest.mark.parametrize(
    ("operation", "error", "words"),
    [
        (Rechunk({"tme": 3}), InvalidSpec, "no array has a dimension 'tme'; did you mean 'time'"),
        (Rechunk({"0": 3}), InvalidSpec, "0 is a position, and there are several arrays; name the dimension .time, x."),
        (Rechunk({}, shards={"z": 3}), InvalidSpec, "shards: no array has a dimension 'z'"),
        (Rechunk({}, select={"time": "9:"}), InvalidSpec, "select.time: '9:' selects nothing of 6 positions"),
        (Rechunk({}, variables=["t2n"]), InvalidSpec, "the store has no array 't2n'; did you mean 't2m'"),
        (Rechunk({"time": 2}, shards={"time": 3}), InvalidSpec, "3 is no multiple of the chunk length 2"),
        (Rechunk({"time": 2}, shards={"time": 4}, zarr_format=2), InvalidSpec, "format 2 has no shards"),
    ],
)
def test_refused(tmp_path: Path, operation: Rechunk, error: type[JobError], words: str) -> None:
    with pytest.raises(error, match=words):
        rechunk(rechunk_job(store(tmp_path), tmp_path / "out", operation), tmp_path)
    assert not (tmp_path / "out").exists()


def test_what_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputNotFound, match="is no Zarr store"):
        rechunk(rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({})), tmp_path)
    (tmp_path / "in" / "zarr.json").write_text("{")
    with pytest.raises(DataError, match="its metadata cannot be read"):
        rechunk(rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({})), tmp_path)


def test_the_output_is_apart(tmp_path: Path) -> None:
    source = store(tmp_path)
    for out in (source, source / "inner", tmp_path):
        with pytest.raises(InvalidSpec, match=r"output\.path"):
            rechunk(rechunk_job(source, out, Rechunk({})), tmp_path)


def test_what_somebody_else_wrote_is_never_replaced(tmp_path: Path) -> None:
    source = store(tmp_path)
    make(tmp_path / "theirs", np.arange(5), (2,))
    for overwrite in (False, True):
        with pytest.raises(OutputExists):
            rechunk(rechunk_job(source, tmp_path / "theirs", Rechunk({}), overwrite=overwrite), tmp_path)
    assert (zarr.open_array(tmp_path / "theirs", mode="r")[:] == np.arange(5)).all()


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (
            (8, 1 << 21),
            (64, 1 << 21),
            "an output chunk of the array, 64 x 2,097,152, is 512.0 MiB in memory.*a smaller",
        ),
        ((64, 1 << 21), (1, 1 << 21), "an input chunk of the array is 512.0 MiB in memory"),
    ],
)
def test_memory_that_cannot_hold_is_refused_with_what_would(
    tmp_path: Path, source: tuple[int, ...], target: tuple[int, ...], words: str
) -> None:
    zarr.create_array(tmp_path / "in", shape=(64, 1 << 21), chunks=source, dtype="f4")
    operation = Rechunk({"0": target[0], "1": target[1]})
    with pytest.raises(OutOfMemory, match=words) as caught:
        rechunk(rechunk_job(tmp_path / "in", tmp_path / "out", operation), tmp_path)
    needed = int(caught.value.message.partition("takes ")[2].partition("Mi")[0])
    enough = rechunk_job(tmp_path / "in", tmp_path / "out", operation, memory=needed * MIB)
    _, end = rechunk(enough, tmp_path)
    assert end.files == 0  # nothing was ever written to it


def test_a_chunk_that_goes_away_is_noticed(tmp_path: Path) -> None:
    from shuffle_protocol.memory import Budgets
    from shuffle_worker.arrays.work import ArrayTasks

    make(tmp_path / "in", np.arange(20), (5,))
    job = rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({"0": 4}))
    tasks = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path))
    tasks.load(job, tasks.plan(job).fingerprint)
    (tmp_path / "in" / "c" / "2").unlink()
    with pytest.raises(DataError, match="was there when the job was planned"):
        list(tasks.read(0, None))


@pytest.mark.parametrize("sharded", [False, True])
def test_a_chunk_that_is_written_again_is_noticed(tmp_path: Path, sharded: bool) -> None:
    """Whole chunks, and shards too large to be read whole: as long as before, but other bytes."""
    from shuffle_protocol.memory import Budgets
    from shuffle_worker.arrays.work import ArrayTasks

    data = np.zeros((32, 1 << 17), np.int32) + 1
    options = {"shards": (16, 1 << 17)} if sharded else {}
    array = make(tmp_path / "in", data, (4, 1 << 15), compressors=None, **options)
    job = rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({"0": 5, "1": 1 << 14}), memory=256 * MIB)
    tasks = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path))
    splits = len(tasks.plan(job).split_bytes)
    tasks.load(job, tasks.plan(job).fingerprint)
    assert tasks.loaded.arrays[0].inner == sharded
    array[16:] = 2
    found = list(tasks.read(0, None))
    assert sum(step.rows for step in found) == tasks.loaded.splits[0].elements
    with pytest.raises(DataError, match=r"c/[1-7]/[0-3]: the chunk changed while the job ran"):
        list(tasks.read(splits - 1, None))


def test_bytes_that_are_no_chunk_are_told_with_their_file(tmp_path: Path) -> None:
    make(tmp_path / "in", np.arange(20), (5,))
    (tmp_path / "in" / "c" / "2").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"c/2: is no chunk of shape \(5,\) and type int64"):
        rechunk(rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({"0": 4})), tmp_path)

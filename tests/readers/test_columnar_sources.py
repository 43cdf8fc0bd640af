"""Feather and ORC: groups, positions, memory; what the conformance suite of readers does not ask."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pytest
from tests.plan.jobs import job, plan_of, read_all

from shuffle_protocol.errors import DataError, JobError, OutOfMemory
from shuffle_worker.readers import orc
from shuffle_worker.readers.feather import FeatherSource
from shuffle_worker.readers.orc import OrcSource
from shuffle_worker.storage import storage_for
from shuffle_worker.storage.local import LocalStorage

MIB = 1 << 20


def table(rows: int) -> pa.Table:
    r = np.random.default_rng(0)
    return pa.table(
        {"id": pa.array(range(rows)), "n": r.integers(0, 2**60, rows), "t": [f"text {n}" for n in range(rows)]}
    )


def put(folder: Path, name: str, data: bytes) -> str:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_bytes(data)
    return str(folder / "in" / name)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("alignment", [8, 64])
def test_the_batches_of_a_feather_file(tmp_path: Path, compression: str | None, alignment: int) -> None:
    """Rows and bytes of each, without reading any."""
    rows = table(1000)
    sink = io.BytesIO()
    dictionary = rows.append_column("d", pa.array(["a", "b"] * 500).dictionary_encode())
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(sink, dictionary.schema, options=options, metadata={"k": "v" * alignment}) as writer:
        for size in (1, 300, 0, 699):
            writer.write_table(dictionary.slice(0, size))
    path = put(tmp_path, "a.arrow", sink.getvalue())
    storage = storage_for(path)
    with FeatherSource(storage, storage.info(path)) as source:
        assert [source.rows(group) for group in range(source.groups)] == [1, 300, 699]
        assert (
            0 < sum(source.stored_bytes(g, source.schema.names) for g in range(source.groups)) <= len(sink.getvalue())
        )
        found = pa.Table.from_batches(list(source.batches([1, 2], ["t", "id"], 100)))
        assert found.column_names == ["id", "t"]
        assert found.num_rows == 999


def test_feather_as_its_own_library_writes_it(tmp_path: Path) -> None:
    rows = table(200_000)
    (tmp_path / "in").mkdir()
    pyarrow.feather.write_feather(rows, str(tmp_path / "in" / "a.feather"))
    found, positions = read_all(plan_of(job(tmp_path)))
    assert found.equals(rows)
    assert positions.tolist() == list(range(200_000))


def test_record_batches_that_do_not_fit_are_refused_when_planned(tmp_path: Path) -> None:
    rows = pa.table({"t": ["x" * 1000] * 120_000})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows.combine_chunks())
    put(tmp_path, "a.arrow", sink.getvalue())
    with pytest.raises(OutOfMemory) as said:
        plan_of(job(tmp_path, memory=300 * MIB))
    assert "the input has record batches of about 114" in said.value.message
    assert "write the files again with smaller record batches" in said.value.message
    needed = int(said.value.message.split("give ")[1].split(".")[0])
    assert plan_of(job(tmp_path, memory=(needed + 1) * MIB)).summary.memory_needed <= (needed + 1) * MIB


def stripes(rows: pa.Table, count: int) -> bytes:
    """A file of so many stripes: the encoder ends one when it is large enough, and looks after every batch."""
    sink = io.BytesIO()
    writer = pyarrow.orc.ORCWriter(sink, stripe_size=1, compression="ZSTD")
    each = -(-len(rows) // count)
    for at in range(count):
        writer.write(rows.slice(at * each, each))
    writer.close()
    return sink.getvalue()


@pytest.mark.parametrize("streamed", [False, True])
def test_stripes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    rows = table(60_000)
    path = put(tmp_path, "a.orc", stripes(rows, 6))
    storage = storage_for(path)
    if streamed:
        monkeypatch.setattr(orc, "MOST_STRIPE", 1)
    with OrcSource(storage, storage.info(path)) as source:
        assert (source.groups == 1) == streamed
        assert source.counted == streamed
        assert sum(source.rows(group) for group in range(source.groups)) == 60_000
    plan = plan_of(job(tmp_path, filter="id % 3 = 0", columns=["t", "id"]))
    found, positions = read_all(plan, 777)
    assert found.column("id").to_pylist() == list(range(0, 60_000, 3))
    assert found.column_names == ["t", "id"]
    assert (positions[1:] > positions[:-1]).all()
    _, others = read_all(plan, 10_000)
    assert positions.tolist() == others.tolist()


def test_columns_with_dots_in_their_names(tmp_path: Path) -> None:
    """A dot is part of a name, never a path into a struct."""
    rows = pa.table({"a.b": [1, 2], "a": pa.array([{"b": 3}, {"b": 4}]), "c": ["x", "y"]})
    put(tmp_path, "a.orc", stripes(rows, 1))
    found, _ = read_all(plan_of(job(tmp_path, columns=["a.b", "a"])))
    assert found.to_pylist() == [{"a.b": 1, "a": {"b": 3}}, {"a.b": 2, "a": {"b": 4}}]


@pytest.mark.parametrize("rows", [0, 1, 1000])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("version", [pa.ipc.MetadataVersion.V4, pa.ipc.MetadataVersion.V5])
@pytest.mark.parametrize("streamed", [False, True])
def test_every_form_of_arrow_ipc(
    tmp_path: Path, streamed: bool, version: pa.ipc.MetadataVersion, old: bool, rows: int
) -> None:
    """old: as it was until Arrow 0.15, where streams began with a length and no mark."""
    expected = table(rows)
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(use_legacy_format=old, metadata_version=version)
    make = pa.ipc.new_stream if streamed else pa.ipc.new_file
    with make(sink, expected.schema, options=options) as writer:
        writer.write_table(expected, max_chunksize=300)
    put(tmp_path, "a.arrow", sink.getvalue())
    found, _ = read_all(plan_of(job(tmp_path)))
    assert found.to_pylist() == expected.to_pylist()


@pytest.mark.parametrize(
    "content",
    [b"\x10\x00\x00\x00\x10\x00\x00\x00", b"\x08\x00\x00\x00\x04", b"id,text\n1,a\n", b"\x1f\x8b\x08\x00" + bytes(64)],
)
def test_what_looks_like_an_old_stream_and_is_none(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, "a.arrow", content)
    with pytest.raises(DataError, match=path):
        plan_of(job(tmp_path))


class Faulty(io.FileIO):
    """A file whose bytes in the middle cannot be read."""

    number = errno.EIO

    def readinto(self, buffer: Any) -> int | None:
        middle = os.fstat(self.fileno()).st_size // 2
        if self.tell() <= middle < self.tell() + len(buffer):
            raise OSError(self.number, os.strerror(self.number))
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        buffer = bytearray(size if size is not None and size >= 0 else os.fstat(self.fileno()).st_size)
        return bytes(buffer[: self.readinto(buffer)])


class FaultyStorage(LocalStorage):
    def native(self, path: str) -> None:  # type: ignore[override]
        return None

    def open(self, path: str) -> Any:
        return Faulty(path)


def three_columns(folder: Path, kind: str) -> tuple[str, type[OrcSource | FeatherSource]]:
    """Of which the one in the middle fills most of the file."""
    rows = 200_000
    users = [f"user-{n}" for n in np.random.default_rng(0).integers(0, rows, rows)]
    made = pa.table({"a": [n % 7 for n in range(rows)], "b": users, "c": [n % 5 for n in range(rows)]})
    path = str(folder / f"in.{kind}")
    if kind == "orc":
        pyarrow.orc.write_table(made, path, compression="zstd")
        return path, OrcSource
    pyarrow.feather.write_feather(made, path, compression="zstd")
    return path, FeatherSource


@pytest.mark.parametrize("kind", ["orc", "feather"])
def test_damage_in_one_column_is_no_matter_of_its_type(tmp_path: Path, kind: str) -> None:
    path, source = three_columns(tmp_path, kind)
    data = bytearray(Path(path).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(one ^ 0xFF for one in data[middle : middle + 64])
    Path(path).write_bytes(data)
    storage = LocalStorage()
    with pytest.raises(DataError) as said, source(storage, storage.info(path)) as opened:
        list(opened.batches(range(opened.groups), ["a", "b", "c"], 65_536))
    assert "the file is damaged" in said.value.message
    assert "another type" not in said.value.message


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
@pytest.mark.parametrize("kind", ["orc", "feather"])
def test_storage_that_fails_in_one_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, number: int
) -> None:
    path, source = three_columns(tmp_path, kind)
    monkeypatch.setattr(Faulty, "number", number)
    storage = FaultyStorage()
    with pytest.raises(JobError) as said, source(storage, storage.info(path)) as opened:
        list(opened.batches(range(opened.groups), ["a", "b", "c"], 65_536))
    assert os.strerror(number) in said.value.message
    assert "another type" not in said.value.message

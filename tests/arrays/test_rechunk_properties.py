"""Random arrays, cut one way and then another, against NumPy: what comes out is what went in, element for element."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.arrays.in_process import make, rechunk, rechunk_job, same, stored_chunks
from zarr.dtype import VariableLengthBytes

from shuffle_protocol.jobs import Rechunk

RECORD = np.dtype([("a", "<i2"), ("b", "<f8"), ("c", "S3")])
TYPES = [
    "bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16", "M8[ns]", "M8[D]", "m8[s]",
    "S5", "U4", "V6", RECORD, "string", "bytes",
]  # fmt: skip


def values(kind: Any, shape: tuple[int, ...], seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape))
    if kind == "string":
        words = ["", "é", "Zürich", "x" * 40, "東京"]
        return np.array([words[i] for i in rng.integers(0, 5, count)], np.dtypes.StringDType()).reshape(shape)
    if kind == "bytes":
        out = np.empty(count, object)
        out[:] = [bytes(rng.integers(0, 256, n, dtype=np.uint8)) for n in rng.integers(0, 9, count)]
        return out.reshape(shape)
    dtype = np.dtype(kind)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "SU":
        return np.array([f"{i:x}" for i in rng.integers(0, 1 << 16, count)], dtype).reshape(shape)
    return np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).reshape(shape)


@st.composite
def cuts(draw: st.DrawFn, most: int = 5) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A shape, chunks before and after."""
    shape = tuple(draw(st.lists(st.integers(0, 7), min_size=0, max_size=most)))
    before = tuple(draw(st.integers(1, max(size, 1) + 1)) for size in shape)
    after = tuple(draw(st.integers(1, max(size, 1) + 2)) for size in shape)
    return shape, before, after


@pytest.fixture
def folder() -> Any:
    where = Path(tempfile.mkdtemp())
    yield where
    shutil.rmtree(where)


def fresh(folder: Path) -> tuple[Path, Path]:
    for name in ("in", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder / "in", folder / "out"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cut=cuts(), kind=st.sampled_from(TYPES), zarr_format=st.sampled_from([2, 3]), seed=st.integers(0, 999))
def test_what_comes_out_is_what_went_in(folder: Path, cut: Any, kind: Any, zarr_format: Any, seed: int) -> None:
    shape, before, after = cut
    source, out = fresh(folder)
    data = values(kind, shape, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that the specification of v3 does not have yet
        make_any(source, data, before, kind, zarr_format)
        plan, end = rechunk(rechunk_job(source, out, Rechunk({str(at): size for at, size in enumerate(after)})), folder)
        found = zarr.open_array(out, mode="r")
        assert found.chunks == tuple(min(a, max(s, 1)) for a, s in zip(after, shape, strict=True))
        assert found.metadata.zarr_format == zarr_format
        assert found.dtype == zarr.open_array(source, mode="r").dtype
        assert same(found[...], data)
    assert end.rows == data.size == plan.summary.input_rows
    assert end.files == len(stored_chunks(out))


def make_any(source: Path, data: Any, chunks: Any, kind: Any, zarr_format: Any, **more: Any) -> None:
    if kind in ("string", "bytes"):
        dtype: Any = str if kind == "string" else VariableLengthBytes()
        array = zarr.create_array(source, shape=data.shape, chunks=chunks, dtype=dtype, zarr_format=zarr_format, **more)
        if data.size:
            array[...] = data
    else:
        make(source, data, chunks, zarr_format=zarr_format, **more)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cut=cuts(4),
    kind=st.sampled_from(["i2", "f8", "string", "M8[ns]", RECORD]),
    data=st.data(),
)
def test_a_selection_is_what_numpy_selects(folder: Path, cut: Any, kind: Any, data: Any) -> None:
    shape, before, after = cut
    source, out = fresh(folder)
    whole = values(kind, shape, 1)
    slices, select = [], {}
    for at, size in enumerate(shape):
        start = data.draw(st.integers(-size, size))
        stop = data.draw(st.integers(-size, size))
        step = data.draw(st.integers(1, 4))
        if len(range(*slice(start, stop, step).indices(size))) == 0:
            start, stop = 0, size
        slices.append(slice(start, stop, step))
        select[str(at)] = f"{start}:{stop}:{step}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_any(source, whole, before, kind, 3)
        rechunk(rechunk_job(source, out, Rechunk({str(at): n for at, n in enumerate(after)}, select=select)), folder)
        assert same(zarr.open_array(out, mode="r")[...], whole[tuple(slices)])


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(cut=cuts(3), shards_in=st.booleans(), shards_out=st.booleans(), data=st.data())
def test_shards_in_and_out(folder: Path, cut: Any, shards_in: bool, shards_out: bool, data: Any) -> None:
    shape, before, after = cut
    source, out = fresh(folder)
    whole = values("f4", shape, 3)
    more = {}
    if shards_in and shape:
        more["shards"] = tuple(n * data.draw(st.integers(1, 3)) for n in before)
    after = tuple(min(n, max(size, 1)) for n, size in zip(after, shape, strict=True))
    shards = {str(at): n * data.draw(st.integers(1, 3)) for at, n in enumerate(after)} if shards_out else {}
    make(source, whole, before, zarr_format=3, **more)
    operation = Rechunk({str(at): n for at, n in enumerate(after)}, shards=shards)
    rechunk(rechunk_job(source, out, operation), folder)
    found = zarr.open_array(out, mode="r")
    assert (found.shards is not None) == bool(shards)
    assert found.chunks == after
    assert same(found[...], whole)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cut=cuts(3),
    kind=st.sampled_from(["i4", "f8", "c8", "M8[ns]", "string"]),
    zarr_format=st.sampled_from([2, 3]),
    target=st.sampled_from([2, 3]),
    compression=st.sampled_from(["Keep", "None", "Zstd", "Lz4", "Gzip", "Blosc"]),
    order=st.sampled_from(["C", "F"]),
)
def test_formats_and_codecs(
    folder: Path, cut: Any, kind: Any, zarr_format: Any, target: Any, compression: str, order: Any
) -> None:
    shape, before, after = cut
    source, out = fresh(folder)
    whole = values(kind, shape, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        more = {"order": order} if zarr_format == 2 and kind != "string" else {}
        make_any(source, whole, before, kind, zarr_format, **more)
        operation = Rechunk({str(at): n for at, n in enumerate(after)}, zarr_format=target, compression=compression)
        rechunk(rechunk_job(source, out, operation), folder)
        found = zarr.open_array(out, mode="r")
        assert found.metadata.zarr_format == target
        assert same(found[...], whole)
        if compression == "None":
            assert not found.compressors


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(cut=cuts(3), data=st.data(), fill=st.sampled_from([0, 7, None]), zarr_format=st.sampled_from([2, 3]))
def test_what_is_missing_stays_missing(folder: Path, cut: Any, data: Any, fill: Any, zarr_format: Any) -> None:
    """Chunks that were never written: the output has exactly the chunks in which anything but the fill value is."""
    shape, before, after = cut
    source, out = fresh(folder)
    more = {} if fill is None else {"fill_value": fill}
    array = zarr.create_array(source, shape=shape, chunks=before, dtype="i4", zarr_format=zarr_format, **more)
    for at in np.ndindex(*array.cdata_shape):
        if data.draw(st.booleans()):
            array.blocks[at] = data.draw(st.integers(0, 9))
    after = tuple(min(n, max(size, 1)) for n, size in zip(after, shape, strict=True))
    rechunk(rechunk_job(source, out, Rechunk({str(at): n for at, n in enumerate(after)})), folder)
    found = zarr.open_array(out, mode="r")
    whole = array[...]
    assert same(found[...], whole)
    assert found.fill_value == array.fill_value
    expected = 0
    for at in np.ndindex(*found.cdata_shape):
        block = whole[tuple(slice(i * n, (i + 1) * n) for i, n in zip(at, after, strict=True))]
        expected += bool((block != (fill or 0)).any())
    assert len(stored_chunks(out)) == expected


def test_without_a_fill_value_nothing_is_left_out(folder: Path) -> None:
    """Format 2 may name none; a reader may then take anything for what is missing."""
    source, out = fresh(folder)
    array = zarr.create_array(source, shape=(9,), chunks=(3,), dtype="i4", zarr_format=2, fill_value=1)
    array[:6] = 0
    document = json.loads((source / ".zarray").read_text())
    (source / ".zarray").write_text(json.dumps({**document, "fill_value": None}))
    rechunk(rechunk_job(source, out, Rechunk({"0": 2})), folder)
    assert stored_chunks(out) == {"0", "1", "2"}
    assert (zarr.open_array(out, mode="r")[:6] == 0).all()

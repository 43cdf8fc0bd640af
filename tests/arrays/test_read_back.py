"""What readers find in the output is what they found in the input, for every pair of formats."""

from __future__ import annotations

import base64
import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.arrays.in_process import rechunk, rechunk_job, stored_chunks
from tests.arrays.read_back import assert_reads_as_before, views
from tests.arrays.test_rechunk_properties import folder, fresh
from zarr.dtype import VariableLengthBytes

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Rechunk

__all__ = ["folder"]

PAIRS = [(2, 2), (2, 3), (3, 2), (3, 3)]
NUMBERS = ["bool", "i1", "u1", "i2", ">i2", "i4", "u8", "i8", "f2", "f4", ">f4", "f8", ">f8", "c8", "c16"]
OTHERS = ["S3", "U3", "M8[ns]", "M8[D]", "m8[s]", "string", "bytes"]
NAN, INF = float("nan"), float("inf")


def double(value: float) -> str:
    """A float as xarray writes `_FillValue` in format 3."""
    return base64.standard_b64encode(struct.pack("<d", value)).decode()


def elements(kind: str, shape: tuple[int, ...]) -> Any:
    """Few values, so that the fill values and masks of the tests are among them."""
    count = int(np.prod(shape))
    if kind == "bytes":
        out = np.empty(count, object)
        out[:] = [(b"", b"a", b"xyz")[at % 3] for at in range(count)]
        return out.reshape(shape)
    if kind == "string":
        return np.array([("", "a", "é東京")[at % 3] for at in range(count)], np.dtypes.StringDType()).reshape(shape)
    dtype = np.dtype(kind)
    few: dict[str, list[Any]] = {
        "b": [False, True],
        "i": [0, 1, -9, 100],
        "u": [0, 1, 9, 100],
        "f": [0.0, -0.0, NAN, INF, 0.1, -9.0],
        "c": [0j, 1j, complex(NAN, 0), -9 + 2j],
        "S": [b"", b"a", b"xyz"],
        "U": ["", "é", "xyz"],
        "M": ["NaT", "1970-01-01", "2026-01-05"],
        "m": [0, 1, np.timedelta64("NaT")],
    }
    values = few[dtype.kind]
    return np.array([values[at % len(values)] for at in range(count)], dtype).reshape(shape)


def write(
    group: zarr.Group, name: str, kind: str, data: Any, dims: list[Any] | None, attributes: dict[str, Any], **how: Any
) -> zarr.Array:
    """An array as Zarr writes it, with what xarray wants to know of it."""
    dtype: Any = str if kind == "string" else VariableLengthBytes() if kind == "bytes" else np.dtype(kind)
    if group.metadata.zarr_format == 3:
        how["dimension_names"] = dims
    elif dims is not None:
        attributes = {**attributes, "_ARRAY_DIMENSIONS": dims}
    made = group.create_array(name, shape=data.shape, dtype=dtype, attributes=attributes, **how)
    if data.size:
        made[...] = data
    return made


def edit(document: Path, **changes: Any) -> None:
    found = json.loads(document.read_text())
    document.write_text(json.dumps({**found, **changes}))


def run(source: Path, out: Path, target: int, **asked: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that the specification of format 3 does not have yet
        operation = Rechunk(asked.pop("chunks", {"x": 3}), zarr_format=target, **asked)
        return rechunk(rechunk_job(source, out, operation), out.parent)[0]


def group_at(path: Path, zarr_format: int) -> zarr.Group:
    warnings.simplefilter("ignore")
    return zarr.open_group(path, mode="w", zarr_format=2 if zarr_format == 2 else 3)


# -- what is masked --------------------------------------------------------------------------------------------------

FILLS: dict[str, list[Any]] = {
    "bool": [False, True],
    "i2": [0, -9, 100],
    "u8": [0, 2**63 + 5],
    "f4": [0.0, NAN, INF, 0.1],
    "f8": [0.0, NAN, -INF, -9.0],
    "c8": [0j, complex(NAN, 0)],
    "S3": [b"", b"a"],
    "U3": ["", "é"],
    "string": ["", "a"],
    "M8[ns]": [np.datetime64("NaT", "ns")],
}


MASKS = [
    (kind, fill, mask)
    for kind, fills in FILLS.items()
    for fill in fills
    for mask in ("none", "the fill value", *(["another"] if kind in NUMBERS else []))
]
"""mask: in format 3 the attribute; in format 2 the fill value masks, and the attribute counts where it is null."""


def masked_array(source: Path, group: zarr.Group, name: str, kind: str, fill: Any, mask: str) -> None:
    """Seven elements, two of which are not stored."""
    before = group.metadata.zarr_format
    attributes: dict[str, Any] = {}
    if mask != "none" and kind in NUMBERS:
        masked = fill if mask == "the fill value" else np.dtype(kind).type(1)
        attributes["_FillValue"] = _told(masked, kind) if before == 3 else _raw(masked)
    write(group, name, kind, elements(kind, (7,)), ["x"], attributes, chunks=(2,), fill_value=fill)
    if before == 2 and mask != "the fill value":
        edit(source / name / ".zarray", fill_value=None)
    (source / name / ("c/1" if before == 3 else "1")).unlink(missing_ok=True)


def cannot_be_kept(before: int, after: int, kind: str, mask: str) -> bool:
    hidden = mask == "the fill value" and kind not in NUMBERS
    complex_raw = mask == "another" and kind == "c8"  # JSON has no complex number
    return before == 2 and after == 3 and (hidden or complex_raw)


@pytest.mark.parametrize(("before", "after"), PAIRS)
@pytest.mark.filterwarnings("ignore")
def test_what_is_masked_stays_masked(tmp_path: Path, before: int, after: int) -> None:
    """All of them in one store: a variable that is read otherwise is named by the comparison."""
    source = tmp_path / "in"
    group = group_at(source, before)
    for kind, fill, mask in MASKS:
        if not cannot_be_kept(before, after, kind, mask):
            masked_array(source, group, f"{kind} {fill} {mask}".replace("/", "_"), kind, fill, mask)
    run(source, tmp_path / "out", after)
    assert_reads_as_before(source, tmp_path / "out")
    assert len(list(group.array_keys())) > 50


@pytest.mark.parametrize(("kind", "fill", "mask"), [each for each in MASKS if cannot_be_kept(2, 3, each[0], each[2])])
@pytest.mark.filterwarnings("ignore")
def test_a_mask_that_format_3_cannot_keep_is_refused(tmp_path: Path, kind: str, fill: Any, mask: str) -> None:
    group = group_at(tmp_path / "in", 2)
    masked_array(tmp_path / "in", group, "a", kind, fill, mask)
    with pytest.raises(InvalidSpec, match=r"zarrFormat: a masks .* cannot be kept in format 3: .*; keep format 2"):
        run(tmp_path / "in", tmp_path / "out", 3)


def _told(value: Any, kind: str) -> Any:
    from xarray.backends.zarr import FillValueCoder

    return FillValueCoder.encode(np.dtype(kind).type(value), np.dtype(kind))


def _raw(value: Any) -> Any:
    value = np.asarray(value).item()
    return [value.real, value.imag] if isinstance(value, complex) else value


@pytest.mark.parametrize("target", [2, 3])
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("f4", double(1e20)),  # no float32: the mask is compared as one, and shown as it was written
        ("f8", double(-9999.0)),
        ("i2", -9999),
        ("u1", -9999),  # masks nothing
        ("u1", 300),
        ("u8", 2**64 - 1),
        ("i8", 2**53 + 1),
        ("bool", 1),
        ("c16", [double(NAN), double(INF)]),
        ("f4", -9999.0),  # written by other programs: xarray opens neither
        ("string", "gone"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_masks_of_format_3(tmp_path: Path, target: int, kind: str, told: Any) -> None:
    group = group_at(tmp_path / "in", 3)
    write(group, "a", kind, elements(kind, (6,)), ["x"], {"_FillValue": told, "units": "K"}, chunks=(2,))
    run(tmp_path / "in", tmp_path / "out", target)
    assert_reads_as_before(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "told", "refused"),
    [
        ("f4", -9999.0, False),
        ("f4", NAN, False),
        ("f8", 1, False),
        ("i2", -9999, False),
        ("i2", -9999.0, False),
        ("u1", -9999, False),
        ("u8", 2**64 - 1, False),
        ("bool", True, False),
        ("i2", -9999.5, True),
        ("i2", NAN, True),
        ("f4", "NaN", True),
        ("f4", [-9999.0], True),
        ("c8", [0.0, 0.0], True),
        ("string", "gone", True),
        ("S3", "gone", True),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_attribute_masks_in_format_2_where_there_is_no_fill_value(
    tmp_path: Path, kind: str, told: Any, refused: bool
) -> None:
    group = group_at(tmp_path / "in", 2)
    write(group, "a", kind, elements(kind, (6,)), ["x"], {"_FillValue": told}, chunks=(2,))
    edit(tmp_path / "in" / "a" / ".zarray", fill_value=None)
    if refused:
        with pytest.raises(InvalidSpec, match=r"a masks .* \(the attribute _FillValue, as xarray reads format 2\)"):
            run(tmp_path / "in", tmp_path / "out", 3)
    else:
        run(tmp_path / "in", tmp_path / "out", 3)
        assert_reads_as_before(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("told", "fill", "stored"),
    [
        (None, None, {"0", "1", "2", "3"}),  # nothing is masked, so there is no fill value that could stand for a chunk
        (9, 9, {"0", "1", "3"}),  # the fill value is the mask in both
        (5, 5, {"0", "1", "2", "3"}),  # another masks: what was not stored was 9, and is written
        (1, 1, {"0", "2", "3"}),  # a chunk of nothing but masked elements is left out instead
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_stored_follows_the_fill_value(
    tmp_path: Path, told: int | None, fill: int | None, stored: set[str]
) -> None:
    """As readers other than xarray go by it: the document's fill value is GDAL's nodata, and what a chunk that is not
    stored reads as."""
    group = group_at(tmp_path / "in", 3)
    data = np.array([9, 2, 1, 1, 9, 9, 3, 4], "i2")
    write(group, "a", "i2", data, ["x"], {} if told is None else {"_FillValue": told}, chunks=(2,), fill_value=9)
    assert not (tmp_path / "in" / "a" / "c" / "2").exists()
    plan = run(tmp_path / "in", tmp_path / "out", 2, chunks={"x": 2})
    document = json.loads((tmp_path / "out" / "a" / ".zarray").read_text())
    assert document["fill_value"] == fill
    assert stored_chunks(tmp_path / "out" / "a") == stored
    assert any("chunks that the input does not store are written" in note for note in plan.summary.notes) == (fill != 9)
    assert_reads_as_before(tmp_path / "in", tmp_path / "out")


# -- dimensions, codecs, layout --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), PAIRS)
@pytest.mark.parametrize("dims", [["x", "y"], ["x", None], [None, None], ["x", "x"], None])
@pytest.mark.filterwarnings("ignore")
def test_names_of_dimensions(tmp_path: Path, before: int, after: int, dims: Any) -> None:
    group = group_at(tmp_path / "in", before)
    write(group, "a", "i2", elements("i2", (4, 4)), dims, {}, chunks=(2, 2))
    run(tmp_path / "in", tmp_path / "out", after, chunks={"0": 3} if dims in (None, [None, None]) else {"x": 3})
    assert_reads_as_before(tmp_path / "in", tmp_path / "out")
    made = zarr.open_group(tmp_path / "out", mode="r")["a"]
    if after == 2:
        assert made.attrs.get("_ARRAY_DIMENSIONS") == dims
    else:
        assert made.metadata.dimension_names == (None if dims is None else tuple(dims))
        assert "_ARRAY_DIMENSIONS" not in made.attrs


@pytest.mark.parametrize(("before", "after"), PAIRS)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("kind", ["f4", "i2", "string", "S3"])
@pytest.mark.filterwarnings("ignore")
def test_scalars_and_empty_arrays(tmp_path: Path, before: int, after: int, shape: tuple[int, ...], kind: str) -> None:
    group = group_at(tmp_path / "in", before)
    dims = [f"d{at}_{size}" for at, size in enumerate(shape)]
    write(group, "a", kind, elements(kind, shape), dims, {"units": "m"}, chunks=tuple(max(n, 1) for n in shape))
    write(group, "x", "f8", elements("f8", (3,)), ["x"], {}, chunks=(2,))
    if before == 2:
        edit(tmp_path / "in" / "a" / ".zarray", fill_value=None)
    run(tmp_path / "in", tmp_path / "out", after)
    assert not isinstance(views(tmp_path / "in")[0], str)
    assert_reads_as_before(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("dims", [["x"], "x", {"x": 1}, [1, 2], 7, None])
@pytest.mark.parametrize("after", [2, 3])
@pytest.mark.filterwarnings("ignore")
def test_an_attribute_that_names_no_dimensions_is_kept(tmp_path: Path, after: int, dims: Any) -> None:
    group = group_at(tmp_path / "in", 2)
    write(group, "a", "i2", elements("i2", (4, 4)), None, {"_ARRAY_DIMENSIONS": dims}, chunks=(2, 2))
    run(tmp_path / "in", tmp_path / "out", after, chunks={"0": 3})
    assert zarr.open_group(tmp_path / "out", mode="r")["a"].attrs["_ARRAY_DIMENSIONS"] == dims


FILTERS: list[tuple[str, list[Any]]] = [
    ("i4", [numcodecs.Delta(dtype="<i4")]),
    ("f8", [numcodecs.FixedScaleOffset(offset=0, scale=10, dtype="<f8", astype="<i4")]),
    ("f4", [numcodecs.Quantize(digits=3, dtype="<f4")]),
    ("f8", [numcodecs.BitRound(keepbits=8)]),
    ("bool", [numcodecs.PackBits()]),
    ("i8", [numcodecs.AsType(encode_dtype="<i2", decode_dtype="<i8")]),
    ("i4", [numcodecs.Shuffle(elementsize=4)]),
    ("i4", [numcodecs.CRC32()]),
    ("i4", [numcodecs.Delta(dtype="<i4"), numcodecs.Shuffle(elementsize=4)]),
    ("i4", []),
]
COMPRESSORS: list[Any] = [
    None, numcodecs.Zstd(level=4), numcodecs.GZip(level=2), numcodecs.Zlib(level=2), numcodecs.BZ2(level=2),
    numcodecs.LZMA(preset=1), numcodecs.LZ4(), numcodecs.Blosc(cname="lz4", shuffle=-1),
    numcodecs.Blosc(cname="zstd", clevel=3, shuffle=2), numcodecs.Adler32(),
]  # fmt: skip


@pytest.mark.parametrize(("order", "separator"), [("C", "."), ("F", "/")])
@pytest.mark.parametrize(("kind", "filters"), FILTERS, ids=lambda value: str(value)[:40])
@pytest.mark.filterwarnings("ignore")
def test_filters_go_from_2_to_3_and_back(tmp_path: Path, kind: str, filters: Any, order: str, separator: str) -> None:
    group = group_at(tmp_path / "in", 2)
    data = np.arange(30).reshape(6, 5) % (2 if kind == "bool" else 30)
    keys = {"name": "v2", "separator": separator}
    how = {"filters": filters, "order": order, "chunk_key_encoding": keys, "compressors": numcodecs.Zlib(level=1)}
    write(group, "a", kind, data.astype(kind), ["x", "y"], {}, chunks=(2, 5), **how)
    run(tmp_path / "in", tmp_path / "three", 3)
    assert_reads_as_before(tmp_path / "in", tmp_path / "three")
    run(tmp_path / "three", tmp_path / "two", 2)
    assert_reads_as_before(tmp_path / "in", tmp_path / "two")
    before, after = (zarr.open_group(tmp_path / name, mode="r")["a"].metadata for name in ("in", "two"))
    assert [one.get_config() for one in after.filters or ()] == [one.get_config() for one in before.filters or ()]
    assert after.compressor.get_config() == before.compressor.get_config()
    assert after.order == before.order


@pytest.mark.parametrize("kind", ["i4", ">f8", "string", "U3"])
@pytest.mark.parametrize("compressor", COMPRESSORS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_compressors_go_from_2_to_3_and_back(tmp_path: Path, kind: str, compressor: Any) -> None:
    group = group_at(tmp_path / "in", 2)
    write(group, "a", kind, elements(kind, (7,)), ["x"], {}, chunks=(2,), compressors=compressor)
    edit(tmp_path / "in" / "a" / ".zarray", fill_value=None)
    run(tmp_path / "in", tmp_path / "three", 3)
    assert_reads_as_before(tmp_path / "in", tmp_path / "three")
    run(tmp_path / "three", tmp_path / "two", 2)
    assert_reads_as_before(tmp_path / "in", tmp_path / "two")
    before, after = (zarr.open_group(tmp_path / name, mode="r")["a"].metadata for name in ("in", "two"))
    assert _settings(after.compressor) == _settings(before.compressor)


def _settings(compressor: Any) -> Any:
    """Without what numcodecs decides by the type, where it was left to it."""
    if compressor is None:
        return None
    return {name: value for name, value in compressor.get_config().items() if name not in ("shuffle", "typesize")}


@pytest.mark.parametrize(
    ("codecs", "said"),
    [
        ([{"name": "transpose", "configuration": {"order": [1, 0]}}, {"name": "bytes"}], None),
        ([{"name": "transpose", "configuration": {"order": [0, 1]}}, {"name": "bytes"}], None),
        ([{"name": "bytes", "configuration": {"endian": "big"}}], None),
        ([{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 1, "checksum": True}}], None),
        ([{"name": "bytes"}, {"name": "numcodecs.shuffle", "configuration": {"elementsize": 1}}], None),
        (
            [{"name": "bytes"}, {"name": "crc32c"}],
            "a cannot be written in format 2: it has the codec crc32c, which format 2 does not know",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_codecs_go_from_3_to_2(tmp_path: Path, codecs: list[dict[str, Any]], said: str | None) -> None:
    group = group_at(tmp_path / "in", 3)
    path = tmp_path / "in" / "a" / "zarr.json"
    write(group, "a", "u1", np.zeros((0, 3), "u1"), ["x", "y"], {}, chunks=(2, 3))
    edit(path, codecs=codecs, shape=[5, 3])
    zarr.open_group(tmp_path / "in", mode="r+")["a"][...] = np.arange(15).reshape(5, 3)
    if said is not None:
        with pytest.raises(InvalidSpec, match=said):
            run(tmp_path / "in", tmp_path / "out", 2)
        run(tmp_path / "in", tmp_path / "out", 2, compression="Zstd")  # which takes its place
    else:
        run(tmp_path / "in", tmp_path / "out", 2)
    assert_reads_as_before(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(("before", "after"), PAIRS)
@pytest.mark.filterwarnings("ignore")
def test_attributes_of_every_kind(tmp_path: Path, before: int, after: int) -> None:
    attributes = {
        "text": "é\ud800", "none": None, "yes": True, "int": 2**70, "float": 0.1, "nan": NAN, "inf": -INF, "empty": {},
        "list": [1, "a", [None, {"b": 2}]], "missing_value": NAN, "": "no name", "valid_range": [0, 1],
    }  # fmt: skip
    group = group_at(tmp_path / "in", before)
    group.attrs.update(attributes)
    inner = group.create_group("deep/er", attributes=attributes)
    for one in (group, inner):
        write(one, "a", "f4", elements("f4", (7,)), ["x"], attributes, chunks=(2,))
    run(tmp_path / "in", tmp_path / "out", after)
    assert_reads_as_before(tmp_path / "in", tmp_path / "out", (None, "deep", "deep/er"))


@pytest.mark.parametrize("after", [2, 3])
@pytest.mark.filterwarnings("ignore")
def test_dimensions_as_netcdf_names_them(tmp_path: Path, after: int) -> None:
    group = group_at(tmp_path / "in", 2)
    hidden = {"_nczarr_array": {"dimension_references": ["/y", "/x"]}, "_NCProperties": "version=2"}
    write(group, "a", "i2", elements("i2", (4, 3)), None, {"units": "K", **hidden}, chunks=(2, 3))
    edit(tmp_path / "in" / "a" / ".zarray", _NCZARR_ARRAY={"dimrefs": ["/y", "/x"], "storage": "chunked"})
    plan = run(tmp_path / "in", tmp_path / "out", after, chunks={"y": 3})
    before = xr.open_zarr(tmp_path / "in", consolidated=False).load()
    assert before.a.dims == ("y", "x")
    xr.testing.assert_identical(before, xr.open_zarr(tmp_path / "out").load())
    assert any("_nczarr_array, _NCProperties describe" in note for note in plan.summary.notes) == (after == 3)


@pytest.mark.filterwarnings("ignore")
def test_attributes_that_format_2_hides_are_refused(tmp_path: Path) -> None:
    write(group_at(tmp_path / "in", 3), "a", "i2", elements("i2", (4,)), ["x"], {"_ncols": 4}, chunks=(2,))
    with pytest.raises(InvalidSpec, match=r"a has the attribute '_ncols', .* keep format 3, or rename it"):
        run(tmp_path / "in", tmp_path / "out", 2)


@pytest.mark.filterwarnings("ignore")
def test_arrays_that_are_none_of_xarrays_keep_their_fill_value(tmp_path: Path) -> None:
    for before, after in ((2, 3), (3, 2)):
        source, out = tmp_path / f"in{before}", tmp_path / f"out{after}"
        group = group_at(source, before)
        array = write(group, "a", "i2", elements("i2", (7,)), None, {"_FillValue": "mine"}, chunks=(2,), fill_value=9)
        plan = run(source, out, after, chunks={"0": 3})
        found = zarr.open_group(out, mode="r")["a"]
        assert found.fill_value == array.fill_value == 9
        assert found.attrs["_FillValue"] == "mine"
        assert plan.arrays[0].refilled is False


# -- data sets, as xarray writes them --------------------------------------------------------------------------------

SIZES = {"x": 5, "y": 4, "none": 0}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e6, 1e6) | st.text("aé_", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)
ATTRIBUTES = st.dictionaries(st.text("abcé", min_size=1, max_size=3), JSON, max_size=3)


@st.composite
def variables(draw: st.DrawFn, zarr_format: int) -> xr.Variable:
    """Data in memory and how xarray is to encode it."""
    dims = draw(st.lists(st.sampled_from(sorted(SIZES)), max_size=2, unique=True))
    shape = tuple(SIZES[name] for name in dims)
    kind = draw(st.sampled_from(["packed", "times", "durations", "plain", "text"]))
    count = int(np.prod(shape))
    encoding: dict[str, Any] = {"chunks": tuple(draw(st.integers(1, max(size, 1))) for size in shape)} if dims else {}
    if kind == "packed":
        values = draw(st.lists(st.sampled_from([0.0, 1.5, -9.0, NAN]), min_size=count, max_size=count))
        data: Any = np.array(values, "f8").reshape(shape)
        encoding |= {"dtype": draw(st.sampled_from(["i2", "u1", "i8", "f4"])), "scale_factor": 0.5, "add_offset": -10.0}
        encoding["_FillValue"] = draw(st.sampled_from([0, 100, 255 if encoding["dtype"] == "u1" else -99]))
    elif kind == "times":
        data = (np.datetime64("2026-01-01", "ns") + np.arange(count) * np.timedelta64(3600, "s")).reshape(shape)
        data[...] = np.where(draw(st.booleans()), data, np.datetime64("NaT"))
        encoding |= {"units": "hours since 2026-01-01", "dtype": draw(st.sampled_from(["f8", "i8"]))}
    elif kind == "durations":
        data = (np.arange(count) * np.timedelta64(60, "s")).astype("m8[ns]").reshape(shape)
    elif kind == "text":
        data = elements(draw(st.sampled_from(["U3", "S3", "string"])), shape)
        data = data if draw(st.booleans()) else data.astype(object)
    else:
        name = draw(st.sampled_from(NUMBERS))
        data = elements(name, shape)
        few = [None, *(elements(name, (3,)).tolist())]
        mask = draw(st.sampled_from(few))
        encoding |= {"_FillValue": mask} if np.dtype(name).kind != "c" or zarr_format == 3 or mask is None else {}
    if zarr_format == 3 and dims and draw(st.booleans()):
        encoding["shards"] = tuple(size * draw(st.integers(1, 2)) for size in encoding["chunks"])
    return xr.Variable(dims, data, draw(ATTRIBUTES), encoding)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), pair=st.sampled_from(PAIRS))
def test_data_sets_read_as_they_did(folder: Path, data: st.DataObject, pair: tuple[int, int]) -> None:
    before, after = pair
    source, out = fresh(folder)
    names = data.draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True))
    groups = data.draw(st.sampled_from([["/"], ["/", "/deep/er"]]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for group in groups:
            found = xr.Dataset({name: data.draw(variables(before)) for name in names}, attrs=data.draw(ATTRIBUTES))
            found = found.assign_coords(x=("x", np.arange(5.0) / 10, {"units": "m"}), label=("y", list("abcd")))
            zarr_format: Any = before
            consolidated = data.draw(st.booleans())
            try:
                found.to_zarr(source, group=group, mode="a", zarr_format=zarr_format, consolidated=consolidated)
            except (ValueError, TypeError, NotImplementedError):
                event("xarray does not write it")
                return
        operation = Rechunk({"x": 3, "y": 2}, zarr_format=after)
        try:
            rechunk(rechunk_job(source, out, operation), folder)
        except InvalidSpec as error:
            assert before == 2
            assert after == 3
            assert "cannot be kept in format 3" in str(error)
            event("refused")
            return
        event(f"compared, {before} to {after}")
        assert_reads_as_before(source, out, tuple(groups))

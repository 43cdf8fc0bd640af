"""Consolidated metadata is a copy that may be old: every array is read by its own document."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from tests.arrays.in_process import rechunk, rechunk_job
from tests.arrays.read_back import members

from shuffle_protocol.errors import DataError, InputNotFound
from shuffle_protocol.jobs import Rechunk
from shuffle_worker.arrays.hierarchy import read_hierarchy
from shuffle_worker.storage import LocalStorage

FORMATS = [2, 3]
NAN = float("nan")


@pytest.fixture(params=FORMATS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Arrays `a` and `deep/b`, consolidated."""
    zarr_format: Any = request.param
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = zarr.open_group(tmp_path / "in", mode="w", zarr_format=zarr_format, attributes={"title": "old"})
        for group, name in ((root, "a"), (root.create_group("deep"), "b")):
            made = group.create_array(name, shape=(4,), chunks=(2,), dtype="i4", attributes={"units": "K"})
            made[...] = [1, 2, 3, 4]
        zarr.consolidate_metadata(tmp_path / "in", zarr_format=zarr_format)
    return tmp_path / "in"


def plain(store: Path) -> zarr.Group:
    return zarr.open_group(store, mode="r+", use_consolidated=False)


def run(store: Path, **asked: Any) -> tuple[dict[str, Any], list[str]]:
    """The output's arrays, by what is consolidated in it, and the notes of the plan."""
    out = store.parent / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan, _ = rechunk(rechunk_job(store, out, Rechunk(asked.pop("chunks", {}), **asked)), store.parent)
        found = dict(zarr.open_group(out, mode="r", use_consolidated=True).members(max_depth=None))
        own = members(out)
    assert {path: node.metadata for path, node in found.items() if isinstance(node, zarr.Array)} == {
        path: node.metadata for path, node in own.items() if isinstance(node, zarr.Array)
    }
    return {path: node for path, node in found.items() if isinstance(node, zarr.Array)}, plan.summary.notes


def test_metadata_that_agrees_says_nothing(store: Path) -> None:
    found, notes = run(store)
    assert set(found) == {"a", "deep/b"}
    assert not [note for note in notes if "consolidated" in note]


def test_an_array_that_grew(store: Path) -> None:
    array = plain(store)["a"]
    array.resize((6,))
    array[4:] = [5, 6]
    found, notes = run(store)
    assert found["a"][...].tolist() == [1, 2, 3, 4, 5, 6]
    assert any("is stale: a has the shape (6,), not (4,)." in note for note in notes)


def test_an_array_that_shrank(store: Path) -> None:
    plain(store)["deep/b"].resize((3,))
    found, notes = run(store)
    assert found["deep/b"][...].tolist() == [1, 2, 3]
    assert any("deep/b has the shape (3,), not (4,)" in note for note in notes)


def test_arrays_and_groups_that_were_added(store: Path) -> None:
    root = plain(store)
    root.create_array("deep/c", data=np.arange(3))
    root.create_array("new/er/d", data=np.arange(5))
    found, notes = run(store, chunks={})
    assert set(found) == {"a", "deep/b", "deep/c", "new/er/d"}
    assert found["new/er/d"][...].tolist() == [0, 1, 2, 3, 4]
    assert any("deep/c is not in it; new/er/d is not in it" in note for note in notes)


def test_an_array_that_was_removed(store: Path) -> None:
    shutil.rmtree(store / "deep" / "b")
    found, notes = run(store)
    assert set(found) == {"a"}
    assert any("deep/b is only in it, and left out" in note for note in notes)


def test_attributes_and_fill_values_that_changed(store: Path) -> None:
    plain(store)["a"].attrs["units"] = "C"
    document = store / "deep" / "b" / ("zarr.json" if (store / "zarr.json").exists() else ".zarray")
    document.write_text(json.dumps({**json.loads(document.read_text()), "fill_value": 7}))
    root = store / ("zarr.json" if (store / "zarr.json").exists() else ".zattrs")
    root.write_text(root.read_text().replace('"old"', '"new"', 1))
    found, notes = run(store)
    assert found["a"].attrs["units"] == "C"
    assert found["deep/b"].fill_value == 7
    assert zarr.open_group(store.parent / "out", mode="r").attrs["title"] == "new"
    assert any("a has other attributes; deep/b has another document" in note for note in notes)


def test_consolidated_metadata_that_nobody_understands_is_passed_over(store: Path) -> None:
    if (store / ".zmetadata").exists():
        (store / ".zmetadata").write_text('{"metadata": {"a/.zarray": {"zarr_format": 2}, "b": 7}}')
    else:
        root = json.loads((store / "zarr.json").read_text())
        root["consolidated_metadata"]["metadata"] = {"a": {"node_type": "array"}, "b": 7}
        (store / "zarr.json").write_text(json.dumps(root))
    found, notes = run(store)
    assert found["a"][...].tolist() == [1, 2, 3, 4]
    assert any("a cannot be read in it" in note for note in notes)


@pytest.mark.parametrize("text", ['{"metadata": {', "[]", "\x00"])
def test_consolidated_metadata_that_is_damaged_is_passed_over(store: Path, text: str) -> None:
    if not (store / ".zmetadata").exists():
        pytest.skip("in format 3 the copy is a part of the store's own document")
    (store / ".zmetadata").write_text(text)
    found, _ = run(store)
    assert found["a"][...].tolist() == [1, 2, 3, 4]


def test_a_store_that_cannot_be_listed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As most over HTTP: consolidated metadata says where to look, the arrays' own documents what is there."""
    monkeypatch.setattr("shuffle_worker.arrays.hierarchy.folders", lambda storage, folder: [])
    array = plain(store)["a"]
    array.resize((6,))
    found = read_hierarchy(LocalStorage(), str(store))
    assert {one.path: one.shape for one in found.arrays} == {"a": (6,), "deep/b": (4,)}
    assert [path for path, _ in found.groups] == ["", "deep"]


def test_what_reading_the_documents_costs(store: Path) -> None:
    """One request an array in format 3, two in format 2, and two or three for the store and each group."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        few = read_hierarchy(LocalStorage(), str(store)).requests
        root = plain(store)
        for number in range(50):
            root.create_array(f"n{number}", shape=(1,), chunks=(1,), dtype="i4")
        more = read_hierarchy(LocalStorage(), str(store)).requests
    assert (few, more - few) == ((6, 50) if (store / "zarr.json").exists() else (14, 100))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a", "{", "Expecting property name"),
        ("a", "[]", "a JSON object is expected"),
        ("a", '{"zarr_format": 4}', "its zarr_format is 4"),
        ("a", '{"zarr_format": %d, "node_type": "array"}', "metadata cannot be read"),
        ("deep", '{"zarr_format": "%d"}', "its zarr_format is"),
    ],
)
def test_documents_that_are_damaged_are_named(store: Path, name: str, text: str, said: str) -> None:
    three = (store / "zarr.json").exists()
    document = store / name / ("zarr.json" if three else ".zarray" if name == "a" else ".zgroup")
    document.write_text(text.replace("%d", "3" if three else "2"))
    with pytest.raises(DataError, match=said) as caught:
        read_hierarchy(LocalStorage(), str(store))
    assert str(store / name) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chunks": [0, 2]}, r"chunks of \(0, 2\) cannot cut an array of shape \(4, 4\)"),
        ({"chunks": [2]}, "metadata cannot be read|cannot cut"),
        ({"shape": [4, 2**70]}, "more elements than can be counted"),
        ({"shape": [-4, 4]}, "metadata cannot be read"),
        ({"fill_value": "x"}, "metadata cannot be read"),
        ({"dtype": "|O"}, "metadata cannot be read"),
        ({"dtype": "<i3"}, "metadata cannot be read"),
        ({"compressor": {"id": "nobody's"}}, "metadata cannot be read"),
        ({"compressor": {"id": "blosc", "clevel": NAN}}, "metadata cannot be read"),
        ({"filters": [{"id": "delta"}]}, "metadata cannot be read"),
        ({"order": "G"}, "metadata cannot be read"),
        ({"dimension_separator": "x"}, "metadata cannot be read"),
    ],
)
def test_documents_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(tmp_path / "in", mode="w", zarr_format=2)
        group.create_array("a", shape=(4, 4), chunks=(2, 2), dtype="i4")
        document = tmp_path / "in" / "a" / ".zarray"
        document.write_text(json.dumps({**json.loads(document.read_text()), **changes}))
        with pytest.raises(DataError, match=said) as caught:
            read_hierarchy(LocalStorage(), str(tmp_path / "in"))
    assert str(tmp_path / "in" / "a") in str(caught.value)


def test_a_folder_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="is no Zarr store"):
        read_hierarchy(LocalStorage(), str(tmp_path))


def test_files_and_other_folders_in_a_store_are_passed_over(store: Path) -> None:
    (store / "README.md").write_text("text")
    (store / "_SUCCESS").write_text("")
    (store / "plots").mkdir()
    (store / "plots" / "a.png").write_text("no picture")
    assert set(run(store)[0]) == {"a", "deep/b"}


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_appending_as_xarray_does_it(tmp_path: Path, zarr_format: Any) -> None:
    """A data set that was appended to without consolidating it again (pydata/xarray#5878)."""
    data = xr.Dataset({"t": ("time", np.arange(4.0))}, coords={"time": np.arange(4)})
    more = xr.Dataset({"t": ("time", np.arange(4.0, 7.0))}, coords={"time": np.arange(4, 7)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.to_zarr(tmp_path / "in", zarr_format=zarr_format, consolidated=True)
        more.to_zarr(tmp_path / "in", append_dim="time", consolidated=False)
        rechunk(rechunk_job(tmp_path / "in", tmp_path / "out", Rechunk({"time": 3})), tmp_path)
        after = xr.open_zarr(tmp_path / "out", consolidated=True).load()
        xr.testing.assert_identical(after, xr.open_zarr(tmp_path / "in", consolidated=False).load())
    assert after.sizes == {"time": 7}

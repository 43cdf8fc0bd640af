"""What xarray and Zarr read from a store, for comparing a rechunk's input with its output."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import xarray as xr
import zarr
from tests.arrays.in_process import same

DECODINGS: list[dict[str, Any]] = [
    {"mask_and_scale": mask, "decode_times": times} for mask, times in itertools.product([True, False], repeat=2)
]

HIDDEN = {"_FillValue", "_ARRAY_DIMENSIONS"}
"""Attributes in which the formats keep what readers show elsewhere."""


def views(store: Path, group: str | None = None) -> list[xr.Dataset | str]:
    """What xarray makes of a group, decoded in every way; the kind of error where it refuses. The store is opened and
    read once: to decode it then is what `open_zarr` does too."""
    try:
        stored = xr.open_zarr(store, group=group, decode_cf=False).load()
    except Exception as error:  # the input's own fault: the output may be no better
        return [type(error).__name__] * len(DECODINGS)
    return [_view(stored, how) for how in DECODINGS]


def _view(stored: xr.Dataset, how: dict[str, Any]) -> xr.Dataset | str:
    try:
        return xr.decode_cf(stored, **how).load()
    except Exception as error:
        return type(error).__name__


def assert_reads_as_before(before: Path, after: Path, groups: tuple[str | None, ...] = (None,)) -> None:
    """Every reader finds in one store what it found in the other, but for chunks and the format."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for group in groups:
            for how, one, other in zip(DECODINGS, views(before, group), views(after, group), strict=True):
                if isinstance(one, str):
                    continue
                assert not isinstance(other, str), f"{how}: xarray refuses the output with {other}"
                xr.testing.assert_identical(one, other)
                types = {name: variable.dtype for name, variable in one.variables.items()}
                assert {name: variable.dtype for name, variable in other.variables.items()} == types
        assert_zarr_reads_as_before(before, after)


def assert_zarr_reads_as_before(before: Path, after: Path) -> None:
    one, other = members(before), members(after)
    assert set(one) == set(other)
    for path, node in one.items():
        found = other[path]
        assert _plain(node.attrs.asdict()) == _plain(found.attrs.asdict()), path
        if isinstance(node, zarr.Array):
            assert isinstance(found, zarr.Array)
            assert same(node[...], found[...]), path
            assert _native(found.dtype) == _native(node.dtype), path


def _native(dtype: Any) -> Any:
    """In format 3 the order of bytes is a matter of the codec, and no part of the type."""
    return dtype if dtype.kind == "T" else dtype.newbyteorder("=")


def members(store: Path) -> dict[str, zarr.Array | zarr.Group]:
    node = zarr.open(store, mode="r", use_consolidated=False) if _is_group(store) else zarr.open(store, mode="r")
    return {"": node, **(dict(node.members(max_depth=None)) if isinstance(node, zarr.Group) else {})}


def _is_group(store: Path) -> bool:
    if (store / "zarr.json").exists():
        return bool(json.loads((store / "zarr.json").read_text())["node_type"] == "group")
    return (store / ".zgroup").exists()


def _plain(attributes: dict[str, Any]) -> str:
    kept = {name: value for name, value in attributes.items() if name not in HIDDEN and not name.startswith("_nc")}
    return json.dumps(kept, sort_keys=True)

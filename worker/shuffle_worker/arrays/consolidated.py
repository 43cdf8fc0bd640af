"""Compares consolidated metadata with the arrays' own documents: what is stale in it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shuffle_protocol.errors import JobError
from shuffle_protocol.units import some
from shuffle_worker.arrays.source import ArraySource, source_of

_TOLD = 5
"""The most arrays that a note names."""


class Copy(NamedTuple):
    """A node in consolidated metadata."""

    document: dict[str, Any] | None
    """None for a group."""
    attributes: dict[str, Any]


def copies_in(found: Mapping[str, Any] | None, zarr_format: int) -> dict[str, Copy]:
    """The nodes of consolidated metadata by path. Ignores what it does not understand, because this is only a copy."""
    nodes = found.get("metadata") if found is not None else None
    if not isinstance(nodes, dict):
        return {}
    plain = {key.strip("/"): value for key, value in nodes.items() if isinstance(value, dict)}
    if zarr_format == 3:
        return {
            path: Copy(value if value.get("node_type") == "array" else None, value.get("attributes") or {})
            for path, value in plain.items()
        }
    out: dict[str, Copy] = {}
    for key, value in plain.items():
        path, _, name = key.rpartition("/")
        if name in (".zarray", ".zgroup"):
            attributes = plain.get(f"{path}/.zattrs".lstrip("/"), {})
            out[path] = Copy(value if name == ".zarray" else None, attributes)
    return out


def differences(folder: str, copies: Mapping[str, Copy], arrays: Sequence[ArraySource]) -> tuple[str, ...]:
    """One note if the copy is stale, none if it agrees."""
    own = {array.path: array for array in arrays}
    copied = {path: copy for path, copy in copies.items() if copy.document is not None}
    told = [f"{path} is not in it" for path in own if path not in copied]
    told += [f"{path} is only in it, and left out" for path in copied if path not in own]
    changed = (_difference(folder, array, copied[path]) for path, array in own.items() if path in copied)
    told += [said for said in changed if said]
    if not told:
        return ()
    return (
        f"the consolidated metadata of {folder} is stale: {some(told, _TOLD, '; ')}. The arrays' own documents "
        "are read instead, and the output is consolidated anew",
    )


def _difference(folder: str, array: ArraySource, copy: Copy) -> str:
    assert copy.document is not None
    try:
        other = source_of(folder, array.path, copy.document, copy.attributes)
    except JobError:
        return f"{array.path} cannot be read in it"
    if array.shape != other.shape:
        return f"{array.path} has the shape {array.shape}, not {other.shape}"
    if _text(array.document) != _text(other.document):
        return f"{array.path} has another document"
    if _text(array.attributes) != _text(other.attributes):
        return f"{array.path} has other attributes"
    return ""


def _text(value: Any) -> str:
    """A value as text that can be compared, even NaN."""
    return json.dumps(value, sort_keys=True)

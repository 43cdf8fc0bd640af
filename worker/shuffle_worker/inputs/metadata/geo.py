"""GeoParquet's note `geo`: which columns are geometries, how they are encoded, in which reference system.

What values mean (the reference system, edges, the epoch) must be the same in all files: one column of two systems would
be wrong data. The extent (`bbox`) is that of a file, and optional; output files are others, so it is left out. So is
the `covering`, where the column that it names is not in the output. See https://geoparquet.org/releases/v1.1.0/.
"""

from __future__ import annotations

import json
from typing import Any

from shuffle_worker.inputs.metadata.notes import Fitting, Found, NoteKind, Told, encoded, parsed

KEY = b"geo"

MEANINGS = ("crs", "edges", "epoch", "encoding")
"""What a geometry's numbers mean."""

DEFAULTS: dict[str, Any] = {"edges": "planar", "crs": "OGC:CRS84"}
"""What holds where a file says nothing."""


def _columns(note: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = note.get("columns")
    return {str(name): one for name, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}


def lean(text: bytes) -> bytes:
    """The extent is that of one file; that it is left out is reported."""
    note = parsed(text)
    if note is None or not any(column.get("bbox") for column in _columns(note).values()):
        return text
    columns = {name: {**one, "bbox": []} if "bbox" in one else one for name, one in _columns(note).items()}
    return encoded({**note, "columns": columns})


def merge(found: Found, told: Told) -> bytes | None:
    notes = [(parsed(text), path) for text, path in found]
    known = [(note, path) for note, path in notes if note is not None and _columns(note)]
    if len(known) < len(notes):
        told.dropped(KEY, "it is not what GeoParquet writes")
        return None
    first, origin = known[0]
    columns = _columns(first)
    for note, path in known[1:]:
        for name, column in _columns(note).items():
            mine = columns.setdefault(name, column)
            unlike = _unlike(name, mine, origin, column, path)
            if unlike:
                told.refused.setdefault(name, unlike)
            columns[name] = _merged(mine, column)
    if any("bbox" in column for note, _ in known for column in _columns(note).values()):
        told.say("GeoParquet's bbox is left out: it is the extent of a file of the input")
    plain = {name: {key: value for key, value in one.items() if key != "bbox"} for name, one in columns.items()}
    version = max(str(note.get("version", "")) for note, _ in known)
    return encoded({**first, "version": version, "columns": plain})


def _unlike(name: str, mine: dict[str, Any], origin: str, other: dict[str, Any], path: str) -> str:
    """Why two files' geometries cannot be one column; "" where they can."""
    for key in MEANINGS:
        one, two = mine.get(key, DEFAULTS.get(key)), other.get(key, DEFAULTS.get(key))
        if one != two:
            return (
                f"column {name!r} holds geometries whose {key} is {_short(one)} in {origin} and {_short(two)} in "
                f"{path}; convert one of the files, or leave the column out with `columns`"
            )
    return ""


def _merged(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in mine.items() if key in MEANINGS or other.get(key) == value}
    types = mine.get("geometry_types"), other.get("geometry_types")
    known = all(types)
    kept["geometry_types"] = sorted({*types[0], *types[1]}) if known else []  # type: ignore[misc]
    return kept


def _short(value: Any) -> str:
    """A reference system by its name, where it has one."""
    if isinstance(value, dict):
        identity = value.get("id")
        if isinstance(identity, dict):
            return f"{identity.get('authority')}:{identity.get('code')}"
        value = value.get("name", value)
    return json.dumps(value)[:80]


def fit(fitting: Fitting, told: Told) -> bytes | None:
    columns: dict[str, dict[str, Any]] = {}
    first: dict[str, Any] | None = None
    gone: list[str] = []
    for at, text in enumerate(fitting.values):
        note = parsed(text)
        if note is None:
            continue
        first = first or note
        kept = fitting.kept(at)
        mine = _columns(note)
        columns |= {name: _covered(column, fitting) for name, column in mine.items() if name in kept}
        gone += [name for name in mine if name not in kept]
    if first is None or not columns:
        told.dropped(KEY, f"its geometries ({', '.join(gone)}) are not in the output")
        return None
    primary = first.get("primary_column")
    if primary not in columns:
        primary = next(iter(columns))
        told.say(
            f"GeoParquet's primary column is {primary!r} now: {first.get('primary_column')!r} is not in the output"
        )
    return encoded({**first, "primary_column": primary, "columns": columns})


def _covered(column: dict[str, Any], fitting: Fitting) -> dict[str, Any]:
    """Without a covering that names a column which is not in the output."""
    boxes = (column.get("covering") or {}).get("bbox") or {}
    named = {path[0] for path in boxes.values() if isinstance(path, list) and path}
    if named <= set(fitting.stored):
        return column
    return {key: value for key, value in column.items() if key != "covering"}


KIND = NoteKind(merge, fit, lean)

"""What files say of themselves beside their rows, and what of it still holds for the output.

A schema carries notes: of pandas about its index, of GeoParquet about geometries, of Spark about its own types, ids of
Iceberg on columns. Each is a claim about one file. The output is another table: of many files, of fewer columns or
rows, in another order. So every known kind is merged, fitted to the output's columns, or dropped with a sentence in
`explain`; an unknown note is kept where all files agree on it.

    agreed     of an input's files: one set of notes (called by `inputs/reading.py`)
    settled    of the inputs: the notes of the output (called by the planner)

A kind is a module here with `merge` (the notes of several files in one), `fit` (to the output's columns) and `lean`
(without what holds for one file alone). Their calls are guarded: a malformed note is left out, and `explain` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.inputs.metadata import geo, ids, others, pandas
from shuffle_worker.inputs.metadata.notes import Fitting, NoteKind, Notes, Told

KINDS: dict[bytes, NoteKind] = {pandas.KEY: pandas.KIND, geo.KEY: geo.KIND, **others.KINDS}
"""By the note's key."""

MALFORMED = (AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What a kind raises where a note is not built as its readers have it: a list for an object, a number for a name."""


def agreed(
    schema: pa.Schema, files: Iterable[tuple[pa.Schema, str]], wanted: Container[str] | None = None
) -> tuple[pa.Schema, list[str]]:
    """An input's schema with the notes that hold for all of its files, and sentences about those that do not. files:
    the schemas of all, with their paths. wanted: the columns that are read, None for all. Raises DataError where files
    disagree on what the values of such a column mean."""
    every = _distinct(files)
    told = Told()
    fields = [ids.agreed(field, [one for one, _ in every], told) for field in schema]
    notes: Notes = {}
    for key in _keys([one for one, _ in every]):
        found = [((one.metadata or {}).get(key), path) for one, path in every]
        value = _merged(key, found, told)
        if value is not None:
            notes[key] = value
    wrong = next((why for name, why in told.refused.items() if wanted is None or name in wanted), None)
    if wrong is not None:
        raise DataError(wrong)
    return schema_of(fields, notes or None), told.sentences()


def _distinct(files: Iterable[tuple[pa.Schema, str]]) -> list[tuple[pa.Schema, str]]:
    """Each schema once, with the first of its files: thousands of files share one object."""
    seen: dict[int, tuple[pa.Schema, str]] = {}
    for schema, path in files:
        seen.setdefault(id(schema), (schema, path))
    return list(seen.values())


def _keys(schemas: Sequence[pa.Schema]) -> list[bytes]:
    return list(dict.fromkeys(key for one in schemas for key in one.metadata or {}))


def _merged(key: bytes, found: Sequence[tuple[bytes | None, str]], told: Told) -> bytes | None:
    kind = _kind(key)
    there = [(value, path) for value, path in found if value is not None]
    if len(there) < len(found):
        without = next(path for value, path in found if value is None)
        told.dropped(key, f"{without} has none")
        return None
    if kind is not None:
        return _guarded(key, partial(kind.merge, there, told), told)
    first, *rest = there
    other = next((path for value, path in rest if value != first[0]), None)
    if other is None:
        return first[0]
    told.dropped(key, f"{first[1]} and {other} say different things")
    return None


def narrowed(schema: pa.Schema) -> tuple[pa.Schema, list[str]]:
    """Of a choice of an input's columns: without what describes all of them, or them in their order."""
    told = Told()
    notes = schema.metadata or {}
    for key in others.SCHEMAS:
        if key in notes:
            told.dropped(key, others.OTHER_COLUMNS)
    kept = {key: value for key, value in notes.items() if key not in others.SCHEMAS}
    return schema_of(list(schema), kept or None), told.sentences()


def settled(
    output: pa.Schema, inputs: Sequence[pa.Schema], stored: Sequence[str], *, same: bool
) -> tuple[pa.Schema, list[str]]:
    """The output's schema with the notes that hold for it, and sentences about those that do not. inputs: the columns
    that are read of those inputs whose columns are in the output, with `agreed` notes. stored: the output's columns
    that its files hold. same: its rows are rows of the input; else only what is said of columns is kept."""
    told = Told()
    notes: Notes = {}
    for key in _keys(inputs):
        values = [(one.metadata or {}).get(key) for one in inputs]
        kind = _kind(key)
        if kind is not None:
            fitting = Fitting(output, inputs, values, stored)
            value = _guarded(key, partial(kind.fit, fitting, told), told)
        elif same and all(one == values[0] for one in values):
            value = values[0]
        else:
            value = None
            told.dropped(key, "it is about an input, and the output is another table")
        if value is not None:
            notes[key] = value
    fields = ids.unique(list(output), told)
    return schema_of(fields, notes or None), told.sentences()


def _kind(key: bytes) -> NoteKind | None:
    return KINDS.get(key) or (others.STALE if others.is_stale(key) else None)


def _guarded(key: bytes, work: Callable[[], bytes | None], told: Told) -> bytes | None:
    """What a kind makes of its notes; None, with a sentence for people, where one is malformed."""
    try:
        return work()
    except MALFORMED:
        told.dropped(key, "it is malformed, so nothing can be taken from it")
        return None


def lean(schema: pa.Schema) -> pa.Schema:
    """A file's schema without what its notes say of that file alone, so that thousands of files share one. What is left
    out with a sentence later leaves a trace."""
    notes = schema.metadata
    if not notes:
        return schema
    found = {key: _lean(key, text) for key, text in notes.items()}
    return schema if found == notes else schema.with_metadata(found)


def _lean(key: bytes, text: bytes) -> bytes:
    kind = _kind(key)
    try:
        return text if kind is None else kind.lean(text)
    except MALFORMED:
        return text  # said where it is merged

"""Notes of other engines: schemas in their own words, which hold for its columns alone, and figures of rows."""

from __future__ import annotations

from typing import Any

from shuffle_worker.inputs.metadata.notes import Fitting, Found, NoteKind, Told, encoded, parsed

SPARK = b"org.apache.spark.sql.parquet.row.metadata"
HUGGING_FACE = b"huggingface"

SCHEMAS = (
    b"parquet.avro.schema",
    b"avro.schema",
    b"parquet.proto.class",
    b"parquet.proto.descriptor",
    b"parquet.thrift.descriptor",
    b"thrift.class",
    b"thrift.descriptor",
    b"iceberg.schema",
    b"writer.model.name",
    b"org.apache.spark.sql.hive.schema",
    b"gdal:schema",
    b"r",
)
"""Whole schemas, by which their readers go. They hold while the columns are the same."""

OTHER_COLUMNS = "it describes columns, and those of the output are others"

_STALE_PREFIXES = (b"hoodie_", b"hoodie.", b"org.apache.hudi.", b"com.uber.hoodie.")
_STALE = (b"ARROW:schema", b"iceberg.delete-file", b"delta.rowIndex", b"geo:bbox", b"sorting_columns", b"deephaven")


def is_stale(key: bytes) -> bool:
    """Whether a note is about the rows of its own file, or their order (the smallest key, a filter of keys)."""
    return key in _STALE or key.startswith(_STALE_PREFIXES)


def _never(_: Found, told: Told) -> bytes | None:
    told.say("notes on the rows of the input's own files (their keys, their order) are left out")
    return None


def _nothing(_: Fitting, __: Told) -> bytes | None:
    return None


def _trace(_: bytes) -> bytes:
    """A filter of keys may be a MiB in each file; `explain` says only that it was there."""
    return b""


STALE = NoteKind(_never, _nothing, _trace)


def _kind(key: bytes) -> NoteKind:
    """Of a schema that cannot be fitted."""

    def fit(fitting: Fitting, told: Told) -> bytes | None:
        same = list(fitting.stored) == fitting.inputs[0].names and fitting.kept() == list(fitting.stored)
        if fitting.only is None or not same:
            told.dropped(key, OTHER_COLUMNS)
            return None
        return fitting.only

    return NoteKind(_equal(key), fit)


def _equal(key: bytes) -> Any:
    def merge(found: Found, told: Told) -> bytes | None:
        first, origin = found[0]
        other = next((path for value, path in found if value != first), None)
        if other is None:
            return first
        told.dropped(key, f"{origin} and {other} say different things")
        return None

    return merge


def _fit_spark(fitting: Fitting, told: Told) -> bytes | None:
    note = parsed(fitting.only)
    found = note.get("fields") if note is not None else None
    known = {one["name"]: one for one in found if isinstance(one, dict) and "name" in one} if found else {}
    if note is None or not _all_known(fitting, known):
        told.dropped(SPARK, OTHER_COLUMNS)
        return None
    return encoded({**note, "fields": [known[name] for name in fitting.stored]})


def _lean_hugging_face(text: bytes) -> bytes:
    """Its fingerprint is that of the input's table, and is left out."""
    note = parsed(text)
    if note is None or "fingerprint" not in note:
        return text
    return encoded({key: value for key, value in note.items() if key != "fingerprint"})


def _fit_hugging_face(fitting: Fitting, told: Told) -> bytes | None:
    note = parsed(fitting.only)
    info = note.get("info") if note is not None else None
    known = info.get("features") if isinstance(info, dict) else None
    if note is None or info is None or not isinstance(known, dict) or not _all_known(fitting, known):
        told.dropped(HUGGING_FACE, OTHER_COLUMNS)
        return None
    return encoded({"info": {**info, "features": {name: known[name] for name in fitting.stored}}})


def _all_known(fitting: Fitting, known: dict[str, Any]) -> bool:
    return fitting.kept() == list(fitting.stored) and all(name in known for name in fitting.stored)


KINDS: dict[bytes, NoteKind] = {
    SPARK: NoteKind(_equal(SPARK), _fit_spark),
    HUGGING_FACE: NoteKind(_equal(HUGGING_FACE), _fit_hugging_face, _lean_hugging_face),
    **{key: _kind(key) for key in SCHEMAS},
}

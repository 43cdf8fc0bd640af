"""What pandas notes of a table: which columns are its index, and which of its own types the columns have.

`pyarrow.Table.to_pandas`, and with it `pandas.read_parquet`, makes the index and types of this note. Of an index that
only counts rows it has begin and end, which hold for one file alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shuffle_worker.inputs.metadata.notes import Fitting, Found, NoteKind, Told, encoded, parsed, quoted

KEY = b"pandas"


def lean(text: bytes) -> bytes:
    """Without an index that counts the rows from 0, which reading gives anyway, without where another one begins and
    ends, and without the number of a column's categories."""
    note = parsed(text)
    if note is None or not isinstance(note.get("index_columns"), list):
        return text
    index = [_lean_index(one) for one in note["index_columns"] if not _counts_rows(one)]
    lean = {**note, "index_columns": index}
    if isinstance(note.get("columns"), list):
        lean["columns"] = [_lean_entry(one) for one in note["columns"]]
    return encoded(lean) if lean != note else text


def _lean_index(index: Any) -> Any:
    return {"kind": "range"} if isinstance(index, dict) and index.get("kind") == "range" else index


def _lean_entry(entry: Any) -> Any:
    return {**entry, "metadata": None} if isinstance(entry, dict) and _is_categorical(entry) else entry


def _is_categorical(entry: dict[str, Any]) -> bool:
    return entry.get("pandas_type") == "categorical"


def _counts_rows(index: Any) -> bool:
    plain = isinstance(index, dict) and index.get("kind") == "range"
    return plain and index.get("start") == 0 and index.get("step") == 1 and index.get("name") is None


def _entry_name(entry: dict[str, Any]) -> str:
    """The column that holds it (`name` is pandas' own, and None for an index without one)."""
    return str(entry.get("field_name", entry.get("name")))


def _entries(note: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = note.get("columns")
    return {_entry_name(one): one for one in found if _is_entry(one)} if isinstance(found, list) else {}


def _is_entry(entry: Any) -> bool:
    """Whether Arrow can read it, which goes by its name, which may be null, and by both names of the type."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name", 0), str | None):
        return False
    return all(isinstance(entry.get(key), str) for key in ("pandas_type", "numpy_type"))


def merge(found: Found, told: Told) -> bytes | None:
    notes = [parsed(text) for text, _ in found]
    if any(note is None or not isinstance(note.get("index_columns"), list) for note in notes):
        told.dropped(KEY, "it is not what pandas writes")
        return None
    known = [note for note in notes if note is not None]
    first = known[0]
    index = [one for one in first["index_columns"] if isinstance(one, str)]
    if any([one for one in note["index_columns"] if isinstance(one, str)] != index for note in known):
        told.say("pandas' index is left out: the files have different ones")
        index = []
    if any(isinstance(one, dict) and not _counts_rows(one) for note in known for one in note["index_columns"]):
        told.say("pandas' index of row numbers is left out: rows are numbered anew in each file")
    columns = _common_entries(known, index, told)
    return encoded(
        {
            **first,
            "index_columns": index,
            "columns": columns,
            "column_indexes": [one for one in _same(known, "column_indexes", []) if _is_entry(one)],
            "attributes": _same(known, "attributes", {}),
            "partition_columns": [],
        }
    )


def _common_entries(notes: list[dict[str, Any]], index: Sequence[str], told: Told) -> list[dict[str, Any]]:
    """What is said of each column by all files that have it. Of categories only their number is said, and wrongly for
    other files: Arrow's type says the rest."""
    entries: dict[str, dict[str, Any]] = {}
    unlike: dict[str, None] = {}
    for note in notes:
        for name, entry in _entries(note).items():
            if entries.setdefault(name, entry) != entry:
                unlike[name] = None
    categories = [name for name, entry in entries.items() if _is_categorical(entry)]
    differing = [name for name in unlike if name not in categories]
    if differing:
        told.say(f"pandas' types of {quoted(differing)} are left out: they differ between files")
    left_out = {*unlike, *(name for name in categories if name not in index)}  # Arrow needs the entries of an index
    return [entry for name, entry in entries.items() if name not in left_out]


def _same(notes: list[dict[str, Any]], key: str, otherwise: Any) -> Any:
    first = notes[0].get(key, otherwise)
    return first if all(note.get(key, otherwise) == first for note in notes) else otherwise


def fit(fitting: Fitting, told: Told) -> bytes | None:
    note = parsed(fitting.only)
    if note is None:
        told.dropped(KEY, "it is about one of several inputs")
        return None
    kept = fitting.kept()
    entries = _entries(note)
    index = [name for name in note["index_columns"] if name in kept and name in entries]
    if len(index) < len(note["index_columns"]):
        gone = [name for name in note["index_columns"] if name not in kept]
        told.say(
            f"pandas' index is left out: the output does not have {quoted(gone)}"
            if gone
            else "pandas' index is left out: the files do not say the same of its columns"
        )
        index = []
    columns = [entries[name] for name in kept if name in entries]
    if not columns and not index:
        return None
    return encoded({**note, "index_columns": index, "columns": columns})


KIND = NoteKind(merge, fit, lean)

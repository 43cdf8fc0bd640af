"""What pandas notes of a table: which columns are its index, and which of its own types the columns have.

`pyarrow.Table.to_pandas`, and with it `pandas.read_parquet`, makes the index and types of this note. Of an index that
only counts rows it has begin and end, which hold for one file alone.
"""

from __future__ import annotations

from typing import Any

from shuffle_worker.plan.metadata.base import Fitting, Found, Kind, Told, encoded, parsed, quoted

KEY = b"pandas"


def lean(text: bytes) -> bytes:
    """Without an index that counts the rows from 0, which reading gives anyway."""
    note = parsed(text)
    if note is None or not isinstance(note.get("index_columns"), list):
        return text
    kept = [one for one in note["index_columns"] if not _counts_rows(one)]
    return encoded({**note, "index_columns": kept}) if len(kept) < len(note["index_columns"]) else text


def _counts_rows(index: Any) -> bool:
    plain = isinstance(index, dict) and index.get("kind") == "range"
    return plain and index.get("start") == 0 and index.get("step") == 1 and index.get("name") is None


def _entry_name(entry: dict[str, Any]) -> str:
    """The column that holds it (`name` is pandas' own, and None for an index without one)."""
    return str(entry.get("field_name", entry.get("name")))


def _entries(note: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = note.get("columns")
    return {_entry_name(one): one for one in found if isinstance(one, dict)} if isinstance(found, list) else {}


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
    columns = _common_entries(known, told)
    return encoded(
        {
            **first,
            "index_columns": index,
            "columns": columns,
            "column_indexes": _same(known, "column_indexes", []),
            "attributes": _same(known, "attributes", {}),
            "partition_columns": [],
        }
    )


def _common_entries(notes: list[dict[str, Any]], told: Told) -> list[dict[str, Any]]:
    """What is said of each column by all files that have it. Of categories only their number is said, and wrongly for
    other files: Arrow's type says the rest."""
    entries: dict[str, dict[str, Any]] = {}
    unlike: dict[str, None] = {}
    for note in notes:
        for name, entry in _entries(note).items():
            if entries.setdefault(name, entry) != entry:
                unlike[name] = None
    categories = [name for name, entry in entries.items() if entry.get("pandas_type") == "categorical"]
    differing = [name for name in unlike if name not in categories]
    if differing:
        told.say(f"pandas' types of {quoted(differing)} are left out: they differ between files")
    return [entry for name, entry in entries.items() if name not in unlike and name not in categories]


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
    index = [name for name in note["index_columns"] if name in kept]
    if len(index) < len(note["index_columns"]):
        gone = [name for name in note["index_columns"] if name not in kept]
        told.say(f"pandas' index is left out: the output does not have {quoted(gone)}")
        index = []
    columns = [entries[name] for name in kept if name in entries]
    if not columns and not index:
        return None
    return encoded({**note, "index_columns": index, "columns": columns})


KIND = Kind(merge, fit)

"""File formats by the names of the API: how files of them are named, and how they can be compressed.

Known to the operator, which refuses what a format cannot do before anything starts, and to the worker. No code of any
format is loaded for it.
"""

from __future__ import annotations

READABLE = ("Parquet", "CSV", "JSON", "Feather", "ORC")
WRITABLE = READABLE

TEXT = ("CSV", "JSON")
"""Formats that are compressed as a whole file, and whose files do not say their types."""

SUFFIXES = {
    ".parquet": "Parquet",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".json": "JSON",
    ".jsonl": "JSON",
    ".ndjson": "JSON",
    ".arrow": "Feather",
    ".arrows": "Feather",
    ".feather": "Feather",
    ".ipc": "Feather",
    ".orc": "ORC",
    ".zarr": "Zarr",
}

STREAM_SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4", ".br": "brotli"}
"""Of files that are compressed as a whole: Arrow's name of the codec."""

COMPRESSIONS = {
    "Parquet": ("Zstd", "Snappy", "Lz4", "Gzip", "Brotli", "None"),
    "CSV": ("None", "Gzip", "Zstd", "Lz4", "Brotli"),
    "JSON": ("None", "Gzip", "Zstd", "Lz4", "Brotli"),
    "Feather": ("Zstd", "Lz4", "None"),
    "ORC": ("Zstd", "Snappy", "Lz4", "Gzip", "None"),
}
"""What each format can be compressed with, its default first."""

_WRITTEN = {"Parquet": "parquet", "CSV": "csv", "JSON": "json", "Feather": "arrow", "ORC": "orc"}
_COMPRESSED = {"Gzip": ".gz", "Zstd": ".zst", "Lz4": ".lz4", "Brotli": ".br", "None": ""}


def written_suffix(name: str, compression: str) -> str:
    """What output files are called after the dot: parquet, csv.gz."""
    return _WRITTEN[name] + (_COMPRESSED[compression] if name in TEXT else "")


def format_by_name(path: str) -> str | None:
    """The format that a file's name says it is of, compressed or not; None where it says nothing."""
    name = path.rstrip("/").rsplit("/", 1)[-1].lower()
    kind = _by_suffix(name)
    if kind is None:
        plain = next((name[: -len(suffix)] for suffix in STREAM_SUFFIXES if name.endswith(suffix)), name)
        kind = _by_suffix(plain)
    return kind


def _by_suffix(name: str) -> str | None:
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)

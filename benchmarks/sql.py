"""Pieces of DuckDB's SQL that several checks use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def source_of(files: Sequence[Path]) -> str:
    """Parquet files as a table, by the names of their columns."""
    names = ", ".join(quoted(str(file)) for file in files)
    return f"read_parquet([{names}], union_by_name = true, hive_partitioning = false)"

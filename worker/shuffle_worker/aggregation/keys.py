"""Keys in messages."""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.partitioning.extremes import json_value


def said_key(keys: pa.RecordBatch, row: int) -> str:
    """A group's key for people: `user = 7, day = 2026-01-01`."""
    return ", ".join(f"{name} = {json_value(keys.column(name).slice(row, 1))}" for name in keys.schema.names)

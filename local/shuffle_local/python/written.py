"""Which output a result means: where it is, and which run wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import StorageOptions


class OutputChanged(DataError):
    """The output is not what the job wrote any more: it was replaced, or removed."""


@dataclass(frozen=True, slots=True, repr=False)
class WrittenOutput:
    """An output that is complete."""

    name: str
    """The job's name."""
    uid: str
    """Of this run; the manifest has the same."""
    path: str
    """The folder."""
    manifest: str
    """The path of its `_manifest.json`."""
    format: str
    store: StorageOptions = field(default_factory=StorageOptions, repr=False, compare=False, kw_only=True)
    """How its store is reached. It may hold a secret, so nothing shows it."""

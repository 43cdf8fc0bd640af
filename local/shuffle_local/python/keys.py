"""Columns, sort keys, schemas, paths and storage, as people write them in Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from shuffle_local.python.bodies import checked_model, plain
from shuffle_operator.api.data import Storage
from shuffle_operator.api.operation import SortKey

if TYPE_CHECKING:
    import pyarrow as pa

Columns = str | Sequence[str]
"""One column, or several."""

OnePath = str | os.PathLike[str]
Paths = OnePath | Sequence[OnePath]

Nulls = Literal["First", "Last"]

Schema = Mapping[str, Any] | Sequence[tuple[str, Any]]
"""Names of columns with their types: Arrow's, by name or as objects of pyarrow, or any words that a job file takes."""


def listed(given: Columns | None) -> list[Any] | None:
    """A list of them; None where none were given."""
    if given is None:
        return None
    return [given] if isinstance(given, str) else list(given)


def together(given: Sequence[Columns]) -> list[Any] | None:
    """`("a", "b")` and `(["a", "b"],)` are the same columns; none: None."""
    return [name for each in given for name in listed(each) or []] or None


def declared(schema: Schema | pa.Schema | None) -> list[dict[str, Any]] | None:
    """The resource's list of columns."""
    if schema is None:
        return None
    if isinstance(schema, Mapping):
        pairs: Any = schema.items()
    elif hasattr(schema, "names") and hasattr(schema, "types"):
        pairs = zip(schema.names, schema.types, strict=True)
    else:
        pairs = schema
    return [{"name": name, "type": kind if _is_plain(kind) else str(kind)} for name, kind in pairs]


def _is_plain(kind: object) -> bool:
    return kind is None or isinstance(kind, str | int | float | bool)


def path_fields(path: Paths) -> dict[str, object]:
    """`path` of one path, `paths` of several."""
    if isinstance(path, str | os.PathLike):
        return {"path": path}
    return {"paths": plain(path)}


def asc(column: str, *, nulls: Nulls | None = None) -> SortKey:
    """A column to sort by, in ascending order. nulls: where rows without a value go, last where not given."""
    return _key("asc", column, None, nulls)


def desc(column: str, *, nulls: Nulls | None = None) -> SortKey:
    """A column to sort by, in descending order. nulls: where rows without a value go, last where not given."""
    return _key("desc", column, "Descending", nulls)


def _key(call: str, column: str, order: str | None, nulls: str | None) -> SortKey:
    fields = {"column": column, "order": order, "nulls": nulls}
    made: SortKey = checked_model(SortKey, fields, ("spec", "operation", "sort", "by", 0), call)
    return made


def storage(
    secret_ref: str | None = None,
    *,
    endpoint: str | None = None,
    options: Mapping[str, str | float | bool] | None = None,
) -> Storage:
    """How a store is reached, where its defaults are not enough.

    secret_ref: the Secret of the cluster that has the credentials; a run on this machine reads them from environment
    variables instead. endpoint: the address of an S3-compatible server. options: of the fsspec file system. They are
    written to the job's YAML; nothing else shows them."""
    made: Storage = checked_model(
        Storage,
        {
            "secret_ref": {"name": secret_ref} if secret_ref is not None else None,
            "endpoint": endpoint,
            "options": options,
        },
        ("spec", "output", "storage"),
        "storage",
    )
    return made

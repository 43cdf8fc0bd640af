"""`read_parquet` and its siblings: the input of a job. Nothing is opened yet.

path: a file, a folder, a glob or an fsspec URL, or several of them. columns: those that are read; all where not given.
compute: SQL expressions by the columns that they give (docs/expressions.md). filter: an SQL condition
(docs/filters.md). map: a function of your own that the rows go through, `package.module:function` or the function
itself; map_schema: the columns that it returns (docs/map.md). schema: types of columns that the files do not say.
base_path: the folder below which folders are columns. name: what a join calls the input. name_as: a column that holds
it, for unions. storage: how its store is reached.

Every argument is a field of `spec.inputs` (docs/reference/shufflejob.md). What is wrong with one raises InvalidJob.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from shuffle_local.python.bodies import body_of, given
from shuffle_local.python.functions import AnyFunction, function_name
from shuffle_local.python.keys import Columns, OnePath, Paths, Schema, declared, listed, path_fields
from shuffle_local.python.stores import ZarrStore
from shuffle_local.python.tables import ReadTable
from shuffle_local.python.typed import CsvFields, StorageFields
from shuffle_operator.api.data import Csv, Input, Storage

if TYPE_CHECKING:
    import pyarrow as pa

TableFormat = Literal["Parquet", "CSV", "JSON", "Feather", "ORC"]
AnyStorage = Storage | StorageFields


def read_parquet(  # noqa: PLR0913 - fields of an input
    path: Paths,
    *,
    columns: Columns | None = None,
    compute: Mapping[str, str] | None = None,
    filter: str | None = None,  # noqa: A002 - the resource's word
    map: AnyFunction | None = None,  # noqa: A002 - the resource's word
    map_schema: Schema | pa.Schema | None = None,
    base_path: OnePath | None = None,
    name: str | None = None,
    name_as: str | None = None,
    storage: AnyStorage | None = None,
) -> ReadTable:
    """Parquet files."""
    return _read("read_parquet", locals(), "Parquet")


def read_orc(  # noqa: PLR0913 - fields of an input
    path: Paths,
    *,
    columns: Columns | None = None,
    compute: Mapping[str, str] | None = None,
    filter: str | None = None,  # noqa: A002 - the resource's word
    map: AnyFunction | None = None,  # noqa: A002 - the resource's word
    map_schema: Schema | pa.Schema | None = None,
    base_path: OnePath | None = None,
    name: str | None = None,
    name_as: str | None = None,
    storage: AnyStorage | None = None,
) -> ReadTable:
    """ORC files."""
    return _read("read_orc", locals(), "ORC")


def read_feather(  # noqa: PLR0913 - fields of an input
    path: Paths,
    *,
    columns: Columns | None = None,
    compute: Mapping[str, str] | None = None,
    filter: str | None = None,  # noqa: A002 - the resource's word
    map: AnyFunction | None = None,  # noqa: A002 - the resource's word
    map_schema: Schema | pa.Schema | None = None,
    base_path: OnePath | None = None,
    name: str | None = None,
    name_as: str | None = None,
    storage: AnyStorage | None = None,
) -> ReadTable:
    """Feather (Arrow IPC) files."""
    return _read("read_feather", locals(), "Feather")


def read_json(  # noqa: PLR0913 - fields of an input
    path: Paths,
    *,
    columns: Columns | None = None,
    compute: Mapping[str, str] | None = None,
    filter: str | None = None,  # noqa: A002 - the resource's word
    map: AnyFunction | None = None,  # noqa: A002 - the resource's word
    map_schema: Schema | pa.Schema | None = None,
    schema: Schema | pa.Schema | None = None,
    base_path: OnePath | None = None,
    name: str | None = None,
    name_as: str | None = None,
    storage: AnyStorage | None = None,
) -> ReadTable:
    """Files of newline-delimited JSON."""
    return _read("read_json", locals(), "JSON")


def read_csv(  # noqa: PLR0913 - a CSV file has many properties, each a field of the resource
    path: Paths,
    *,
    columns: Columns | None = None,
    compute: Mapping[str, str] | None = None,
    filter: str | None = None,  # noqa: A002 - the resource's word
    map: AnyFunction | None = None,  # noqa: A002 - the resource's word
    map_schema: Schema | pa.Schema | None = None,
    schema: Schema | pa.Schema | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
    escape: str | None = None,
    header: bool | None = None,
    null_values: Sequence[str] | None = None,
    newlines_in_values: bool | None = None,
    base_path: OnePath | None = None,
    name: str | None = None,
    name_as: str | None = None,
    storage: AnyStorage | None = None,
) -> ReadTable:
    """CSV files. delimiter to newlines_in_values: how they are written, where not as RFC 4180 has it."""
    arguments = dict(locals())
    nulls = [null_values] if isinstance(null_values, str) else null_values
    csv = given(Csv, {**{name: arguments.pop(name) for name in Csv.model_fields}, "null_values": nulls})
    return _read("read_csv", {**arguments, "csv": csv or None}, "CSV")


def read_files(  # noqa: PLR0913 - all fields of an input
    path: Paths,
    *,
    format: TableFormat | None = None,  # noqa: A002 - the resource's word
    reader: AnyFunction | None = None,
    columns: Columns | None = None,
    compute: Mapping[str, str] | None = None,
    filter: str | None = None,  # noqa: A002 - the resource's word
    map: AnyFunction | None = None,  # noqa: A002 - the resource's word
    map_schema: Schema | pa.Schema | None = None,
    schema: Schema | pa.Schema | None = None,
    csv: CsvFields | None = None,
    base_path: OnePath | None = None,
    name: str | None = None,
    name_as: str | None = None,
    storage: AnyStorage | None = None,
) -> ReadTable:
    """Files of a format that their suffix says, or of one that a function of your own reads.

    reader: (path, columns) -> Arrow table or tables; `package.module:function`, or the function itself."""
    arguments = dict(locals())
    found = function_name(reader, "read_files", "reader") if reader is not None else None
    return _read("read_files", {**arguments, "reader": found}, format)


def read_zarr(path: OnePath, *, storage: AnyStorage | None = None) -> ZarrStore:
    """A Zarr store: one array, or a group of them."""
    fields = {"path": path, "format": "Zarr", "storage": storage}
    return ZarrStore(body_of(Input, fields, ("spec", "inputs", 0), {("spec", "inputs", 0): "read_zarr"}))


def _read(call: str, arguments: Mapping[str, Any], format_name: str | None) -> ReadTable:
    """arguments: all of the call's; most have the names of the model's fields."""
    fields = {name: value for name, value in arguments.items() if name not in ("path", "schema")}
    fields |= path_fields(arguments["path"])
    fields |= {
        "format": format_name,
        "columns": listed(arguments["columns"]),
        "schema_": declared(arguments.get("schema")),
        "map": None if arguments["map"] is None else function_name(arguments["map"], call, "map"),
        "map_schema": declared(arguments["map_schema"]),
    }
    return ReadTable(body_of(Input, fields, ("spec", "inputs", 0), {("spec", "inputs", 0): call}), call)

"""The files that a manifest names, as an Arrow dataset, read through this project's own storage: the same credentials,
retries and errors as the job had.

Types are those that the manifest has; CSV and JSON would not say them, and are read by this project's own reader.
Columns that folders spell out are columns of the dataset, and a scan with a filter on them passes folders over.
"""

from __future__ import annotations

from io import IOBase
from typing import Any, cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from msgspec import Struct

from shuffle_local.python.written import OutputChanged, WrittenOutput
from shuffle_protocol.errors import InputNotFound, InvalidSpec
from shuffle_protocol.formats import TEXT
from shuffle_protocol.jobs import Input, ResultColumn
from shuffle_worker.columns import hive
from shuffle_worker.columns.arrow import Scalar, children, repeated, scalar
from shuffle_worker.output.folders import file_schema
from shuffle_worker.output.manifest import Manifest
from shuffle_worker.readers.formats import LOOK, Opening
from shuffle_worker.storage import Storage, storage_for

ROWS = 1 << 16
"""Of a record batch."""


class Whose(Struct, frozen=True):
    """What manifests of tables and of arrays have in common."""

    format: str
    job: str
    uid: str


def manifest_of(output: WrittenOutput) -> Manifest:
    """Raises OutputChanged where it is not this job's any more, InvalidSpec where the output is arrays."""
    if output.format == "Zarr":
        raise InvalidSpec(
            f"{output.path} is a Zarr store, of arrays and not of rows: open it by zarr.open(result.path) or "
            "xarray.open_zarr(result.path)"
        )
    try:
        found = storage_for(output.path, output.store).read(output.manifest)
    except InputNotFound as error:
        raise OutputChanged(f"{output.path}: the output of job {output.name} was removed since: {error}") from error
    try:
        whose = msgspec.json.decode(found, type=Whose)
        if whose.uid == output.uid:
            return msgspec.json.decode(found, type=Manifest)
    except msgspec.DecodeError as error:
        raise OutputChanged(f"{output.manifest}: this is no manifest any more: {error}") from error
    raise OutputChanged(
        f"{output.path}: was overwritten since: its manifest is of job {whose.job}, run {whose.uid}, not of job "
        f"{output.name}, run {output.uid}; run the job again, or open the files by their paths"
    )


def table_of(output: WrittenOutput) -> pa.Table:
    """All rows. Raises OutputChanged, also where it was replaced while it was read."""
    manifest = manifest_of(output)
    found = _text(output, manifest) if output.format in TEXT else _files(output, manifest).to_table()
    manifest_of(output)
    return found


def dataset_of(output: WrittenOutput) -> ds.Dataset:
    """Text is read whole: Arrow's own readers of it do not know all types."""
    manifest = manifest_of(output)
    return ds.dataset(_text(output, manifest)) if output.format in TEXT else _files(output, manifest)


def _schema(manifest: Manifest) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(manifest.schema))


def _files(output: WrittenOutput, manifest: Manifest) -> ds.Dataset:
    schema, names = _schema(manifest), [record.name for record in manifest.files]
    kinds = {"Parquet": ds.ParquetFileFormat, "Feather": ds.IpcFileFormat, "ORC": ds.OrcFileFormat}
    return ds.FileSystemDataset.from_paths(
        names,
        schema=schema,
        format=kinds[output.format](),
        filesystem=_filesystem(output),
        partitions=[_spelled(name, schema) for name in names] if manifest.partition_by else None,
    )


def _filesystem(output: WrittenOutput) -> pafs.FileSystem:
    """Of the files below the output."""
    storage = storage_for(output.path, output.store)
    native = storage.native(output.path.rstrip("/"))
    if native is not None:
        return pafs.SubTreeFileSystem(native, pafs.LocalFileSystem())
    return pafs.PyFileSystem(FilesBelow(storage, output.path))


def _text(output: WrittenOutput, manifest: Manifest) -> pa.Table:
    """By this project's reader, with the types that the manifest has."""
    schema = _schema(manifest)
    inside = file_schema(schema, manifest.partition_by)
    for column in inside:
        if output.format == "JSON" and _has_maps(column.type):
            raise InvalidSpec(
                f"{output.path}: {column.name!r} is {column.type}, and maps are not read back from JSON; write Parquet "
                "or Feather, or read the files of `paths` by other means"
            )
    storage = storage_for(output.path, output.store)
    declared = [ResultColumn(column.name, str(column.type)) for column in inside]
    source_of = Input(paths=[output.path], format=output.format, schema=declared)
    opening = Opening(source_of, 0, output.format, LOOK, strict=True)
    tables = [schema.empty_table()]
    for record in manifest.files:
        if record.rows:
            info = storage.info(f"{output.path.rstrip('/')}/{record.name}")
            with opening.open(storage, info, types=inside) as source:
                rows = pa.Table.from_batches(source.batches(range(source.groups), inside.names, ROWS), inside)
            tables.append(_with_folders(rows, record.name, schema))
    return pa.concat_tables(tables)


def _with_folders(rows: pa.Table, name: str, schema: pa.Schema) -> pa.Table:
    """The rows of a file with the columns that its folders spell out."""
    values = hive.values_of(f"/{name}", "/")
    columns = [
        rows[field.name]
        if field.name not in values
        else repeated(_scalar(values[field.name], field.type), rows.num_rows)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _has_maps(kind: pa.DataType) -> bool:
    return pa.types.is_map(kind) or any(_has_maps(field.type) for field in children(kind))


def _spelled(name: str, schema: pa.Schema) -> ds.Expression:
    """What holds for the rows of a file by its folders."""
    whole = ds.scalar(True)
    for column, value in hive.values_of(f"/{name}", "/").items():
        if value is None:
            whole = whole & pc.field(column).is_null()
        else:
            whole = whole & (pc.field(column) == _scalar(value, schema.field(column).type))
    return whole


def _scalar(text: str | None, kind: pa.DataType) -> Scalar:
    found: Scalar = scalar(text, pa.string()).cast(kind)
    return found


class FilesBelow(pafs.FileSystemHandler):
    """Files of an output folder for Arrow, to be read and nothing else."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder.rstrip("/")

    def get_type_name(self) -> str:
        return "shuffle"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: str | list[str]) -> list[pafs.FileInfo]:
        paths = [paths] if isinstance(paths, str) else paths
        return [pafs.FileInfo(path, pafs.FileType.File, size=self._storage.info(self._at(path)).size) for path in paths]

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        raise NotImplementedError("the manifest names the files")

    def open_input_stream(self, path: str) -> pa.PythonFile:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(cast("IOBase", self._storage.open(self._at(path))), mode="r")

    def _at(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _never(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("an output is only read here")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_root_dir = delete_file = _never
    move = copy_file = open_output_stream = open_append_stream = _never

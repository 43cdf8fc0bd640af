"""`write_parquet` and its siblings: one signature, that of the resource's output, for all formats of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, Self, overload

from shuffle_local.python.arguments import Calls
from shuffle_local.python.bodies import Body, body_of
from shuffle_local.python.job import ShuffleJob, job_of
from shuffle_local.python.keys import Columns, OnePath, listed
from shuffle_local.python.typed import Quantity, StorageFields
from shuffle_operator.api.data import Output, Storage

Compression = Literal["Zstd", "Snappy", "Lz4", "Gzip", "Brotli", "None"]


class Writable(Protocol):
    """Inputs with an operation."""

    @property
    def inputs(self) -> tuple[Body, ...]: ...

    @property
    def operation(self) -> Body: ...

    @property
    def calls(self) -> Calls: ...


@dataclass(frozen=True)
class TableWriter:
    """A method that makes a job of a table with an operation."""

    call: str
    format: str

    @overload
    def __get__(self, table: None, owner: type) -> Self: ...

    @overload
    def __get__(self, table: Writable, owner: type) -> WritesTable: ...

    def __get__(self, table: Writable | None, owner: type) -> Self | WritesTable:
        return self if table is None else WritesTable(table, self.call, self.format)


@dataclass(frozen=True)
class WritesTable:
    """Makes a job that writes to a folder.

    path: the folder, any fsspec URL or a local path. name: of the job; after the folder where not given. partitions:
    how many files, exactly, or target_partition_size: the size that they should have. partition_by: columns that become
    folders. sort_within: columns that order the rows of each file. compute, filter, columns: SQL of the result's
    columns, and which of them are written. report: write the job's report beside
    the manifest, too. on_existing: what to do where the folder holds
    files; the job is refused where not given. Raises InvalidJob with everything that is wrong."""

    table: Writable
    call: str
    format: str

    def __repr__(self) -> str:
        return f"<{self.call} of {self.table!r}>"

    def __call__(  # noqa: PLR0913 - all fields of an output
        self,
        path: OnePath,
        *,
        name: str | None = None,
        partitions: int | None = None,
        target_partition_size: Quantity | None = None,
        compression: Compression | None = None,
        partition_by: Columns | None = None,
        sort_within: Columns | None = None,
        compute: Mapping[str, str] | None = None,
        filter: str | None = None,  # noqa: A002 - the resource's word
        columns: Columns | None = None,
        report: bool | None = None,
        on_existing: Literal["Fail", "Overwrite"] | None = None,
        storage: Storage | StorageFields | None = None,
    ) -> ShuffleJob:
        arguments = {
            "path": path,
            "format": self.format,
            "partitions": partitions,
            "target_partition_size": target_partition_size,
            "compression": compression,
            "partition_by": listed(partition_by),
            "sort_within": listed(sort_within),
            "compute": compute,
            "filter": filter,
            "columns": listed(columns),
            "report": report,
            "on_existing": on_existing,
            "storage": storage,
        }
        calls = {**self.table.calls, ("spec", "output"): self.call}
        output = body_of(Output, arguments, ("spec", "output"), calls)
        spec = {"operation": self.table.operation, "inputs": list(self.table.inputs), "output": output}
        return job_of(spec, name, calls)

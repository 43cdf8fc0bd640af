"""What planning knows of an input: what its footers say, then everything that is decided about it.

`inputs/table.py` works it out; operations read it (`steps/planning.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa

from shuffle_protocol.jobs import Input, SortKey
from shuffle_worker.expressions.computed import Computed
from shuffle_worker.expressions.filter import Filter
from shuffle_worker.inputs.keyed import Keyed
from shuffle_worker.inputs.probe import Probe, RowGroupRef
from shuffle_worker.inputs.reading import FoundFile, InputFiles
from shuffle_worker.plan.record import File, Table
from shuffle_worker.storage.storage import Storage

if TYPE_CHECKING:
    from shuffle_worker.inputs.mapped import MappedTable


class Columns(NamedTuple):
    """An input's schemas."""

    found: pa.Schema
    """Every column that it has."""
    kept: pa.Schema
    """Those that the user selected, in that order."""
    what: str = "the input"
    """What has them, for people."""


class Size(NamedTuple):
    """How much a table is expected to be: its rows (those that pass the filter), the Arrow bytes of a row, and the
    bytes as files hold it."""

    rows: float
    row_bytes: float
    stored: float
    few: Sequence[str] = ()
    """Its columns of few distinct values. These depend on the data alone, because they decide how many files there
    are."""
    keyed: Keyed | None = None
    """What was seen of the columns that `Planning.grouped_by` names."""

    @property
    def groups(self) -> float:
        """The keys that so many rows are expected to have."""
        return self.rows if self.keyed is None else self.keyed.expected(self.rows)


class Needs(Protocol):
    """What an operation needs of its inputs, before they are opened; `steps/planning.py` documents it."""

    def needed(self, index: int) -> Sequence[str] | None: ...

    def range_keys(self) -> list[SortKey]: ...

    def bounded(self, index: int) -> Sequence[str]: ...

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]: ...


def input_name(name: str, number: int) -> str:
    """An input, for people: its name, or its place in the job where it has none."""
    return name or f"inputs[{number}]"


class FoundTable(NamedTuple):
    """What footers say of an input."""

    number: int
    source: Input
    storage: Storage
    found: InputFiles
    schema: pa.Schema
    """Every column that it has, computed ones among them."""
    kept: pa.Schema
    """The columns that the user selected."""
    filtered: list[str]
    """Those that the filter names."""
    computed: Computed | None = None
    mapped: MappedTable | None = None
    """What its function makes of the rows, once that is known."""

    @property
    def columns(self) -> Columns:
        """As the operation sees them."""
        if self.mapped is not None:
            what = f"what {self.source.map} returns (inputs[{self.number}].map)"
            return Columns(self.mapped.result, self.mapped.result, what)
        return Columns(self.schema, self.kept)


class PlannedInput(NamedTuple):
    """An input with all that is decided about it."""

    number: int
    source: Input
    files: list[FoundFile]
    schema: pa.Schema
    """The schema of the columns that are read and sent, with the types that the output declares."""
    extra: pa.Schema
    """The schema of the columns that only the filter reads."""
    target: pa.Schema
    """The transport schema of all that is read and kept, and of `extra`."""
    sources: pa.Schema | None
    """The schema of the columns that computed ones of these are made of, None where none is computed."""
    where: Filter | None
    absent: frozenset[str]
    """Columns of `schema` that are null here, whatever the files have."""
    row_groups: list[RowGroupRef]
    """The row groups that may hold rows that pass the filter."""
    look: Probe
    rows: int
    stored: int
    """`rows`, `stored`: in these row groups, before the filter."""
    columns: int
    """How many the input has."""
    format: str
    strict: bool
    notes: list[str]
    """What a person may want to know of the files."""
    mapped: MappedTable | None = None
    """What a function makes of the rows, where they go through one."""
    parts: Sequence[PlannedInput] = ()
    """Of a union, its inputs."""

    @property
    def called(self) -> bool:
        """Whether rows of it go through a function."""
        return self.mapped is not None or any(one.called for one in self.parts)

    @property
    def said(self) -> str:
        """As people know it."""
        return input_name(self.source.name, self.number)

    @property
    def growth(self) -> float:
        """Rows that come to the operation for each that passes the filter."""
        if self.parts and self.called:
            return sum(one.size.rows for one in self.parts) / max(sum(one.passing for one in self.parts), 1.0)
        return 1.0 if self.mapped is None else self.mapped.growth

    @property
    def passing(self) -> float:
        """Rows that pass the filter."""
        return self.rows * self.look.selectivity

    @property
    def kept(self) -> pa.Schema:
        """The columns that are read and kept: those that the function is given, or that are sent."""
        return self.schema if self.mapped is None else self.mapped.given

    @property
    def sent(self) -> pa.Schema:
        """The transport schema of what comes to the operation."""
        return self.target if self.mapped is None else self.mapped.sent

    @property
    def _widening(self) -> float:
        """How large the rows that come to the operation are beside those that pass the filter."""
        if self.parts and self.called:
            return sum(one.size.stored for one in self.parts) / max(self.stored * self.look.selectivity, 1.0)
        if self.mapped is None:
            return 1.0
        return self.growth * self.look.row_bytes / max(self.look.kept_bytes, 1.0)

    @property
    def computed(self) -> list[str]:
        """The computed columns that are needed."""
        return [name for name in self.target.names if name in self.source.compute]

    @property
    def read(self) -> list[str]:
        """The columns that are read."""
        plain = [name for name in self.target.names if name not in self.source.compute]
        return list(dict.fromkeys([*plain, *(self.sources.names if self.sources is not None else ())]))

    @property
    def decoded(self) -> float:
        """Arrow bytes of the largest group that its format decodes at once."""
        largest = self._largest
        return self.files[largest.file].row_groups[largest.group].rows * self.look.read_bytes if largest else 0.0

    @property
    def decoded_of(self) -> str:
        """The file that has it."""
        return self.files[self._largest.file].info.path if self._largest else ""

    @property
    def _largest(self) -> RowGroupRef | None:
        whole = (one for one in self.row_groups if self.files[one.file].row_groups[one.group].whole)
        return max(whole, key=lambda one: self.files[one.file].row_groups[one.group].rows, default=None)

    @property
    def size(self) -> Size:
        return Size(
            self.passing * self.growth,
            self.look.row_bytes,
            self.stored * self.look.selectivity * self._widening,
            [name for name in self.schema.names if name in self.look.few],
            self.look.keyed,
        )

    @property
    def table(self) -> Table:
        return Table(
            name=self.source.name,
            schema=self.schema.serialize().to_pybytes(),
            row_bytes=self.look.row_bytes,
            rows=int(self.passing * self.growth),
            filter_columns=self.extra.serialize().to_pybytes() if self.extra.names else None,
            sources=self.sources.serialize().to_pybytes() if self.sources is not None else None,
            read_bytes=self.look.read_bytes,
            format=self.format,
            strict=self.strict,
            given=None if self.mapped is None else self.mapped.given.serialize().to_pybytes(),
            result=None if self.mapped is None else self.mapped.result.serialize().to_pybytes(),
            call_rows=0 if self.mapped is None else self.mapped.rows,
            absent=sorted(self.absent),
            rows_read=self.rows,
            bytes_read=sum(self.files[one.file].row_groups[one.group].bytes for one in self.row_groups),
        )

    @property
    def records(self) -> list[File]:
        return [
            File(file.info.path, file.info.size, file.info.tag, file.rows, self.number, file.hive)
            for file in self.files
        ]

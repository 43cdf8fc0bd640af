"""Which format a file has, and opening it: the one place that knows every `Source`.

Called by the plan (`inputs/reading.py`, and through `Found.open` by probe and sample) and by the reader, with the same
`Opening`, so that both see the same groups.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.formats import READABLE, TEXT, format_by_name
from shuffle_protocol.jobs import Csv, Input
from shuffle_worker.columns.arrow import children
from shuffle_worker.columns.type_names import schema_of_names
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.codecs import plain_name
from shuffle_worker.readers.source import Source
from shuffle_worker.storage.storage import Info, Storage

if TYPE_CHECKING:
    from shuffle_worker.readers.function import ReaderProcesses

FUNCTION = "function"

LOOK = 256 << 10
"""Bytes of the beginning of a text file that its types are found from, where there are many files."""

LOOK_ALL = 64 << 20
"""Bytes that are looked at in all files together."""

MOST_LOOK = 4 << 20
BUDGET = 32 << 20


def format_of(source: Input, files: Iterable[str] = (), index: int = 0) -> str:
    """The format that the job names, else that of the files' names; Parquet where neither says. Raises InvalidSpec
    where names differ."""
    if source.reader:
        return FUNCTION
    if source.format:
        return source.format
    found: dict[str, str] = {}
    for path in [*source.paths, *files]:
        kind = format_by_name(path)
        if kind is not None:
            found.setdefault(kind, path)
    if len(found) > 1:
        (one, first), (other, second), *_ = found.items()
        raise InvalidSpec(
            f"inputs[{index}].path: {first} is {one} by its name and {second} is {other}; choose the files of one "
            "format with a glob, or set `format`"
        )
    return next(iter(found), "Parquet")


def look_bytes(files: int) -> int:
    """How much of each file is examined for its types: it depends on the input alone."""
    return min(max(LOOK_ALL // max(files, 1), LOOK), MOST_LOOK)


def opening_of(
    source: Input, index: int, files: Sequence[str], *, strict: bool, calls: ReaderProcesses | None = None
) -> Opening:
    """For an input whose files are listed. Raises InvalidSpec."""
    kind = format_of(source, files, index)
    if kind not in (*READABLE, FUNCTION):
        raise InvalidSpec(f"inputs[{index}].format: {kind} cannot be read; formats are {', '.join(READABLE)}")
    if source.schema and kind not in (*TEXT, FUNCTION):
        raise InvalidSpec(
            f"inputs[{index}].schema: files of {kind} say their types themselves; leave it out (it is for CSV, "
            "JSON and a reader of your own)"
        )
    if source.csv is not None and kind != "CSV":
        raise InvalidSpec(f"inputs[{index}].csv: the files are {kind}; leave it out, or set format: CSV")
    opening = Opening(source, index, kind, look_bytes(len(files)), strict, calls)
    for at, field in enumerate(opening.declared if kind in TEXT else []):
        if not _in_text(field.type, kind):
            raise InvalidSpec(
                f"inputs[{index}].schema[{at}].type: {field.type} has no form in {kind}; declare "
                f"{field.name!r} as string"
            )
    return opening


def opening_of_plan(plan: Plan, index: int, memory: int = 0, scratch: Path | None = None) -> Opening:
    """The same for a plan that is made. memory: of a process of a function's; scratch: where its code is fetched to."""
    table = plan.tables[index]
    calls = None
    if table.format == FUNCTION:
        from shuffle_worker.readers.function import ReaderProcesses

        calls = ReaderProcesses(plan.job, index, memory, scratch, plan.code)
    return Opening(plan.job.inputs[index], index, table.format, LOOK, table.strict, calls)


def _in_text(kind: pa.DataType, name: str) -> bool:
    """Whether values of a type can be read from text."""
    types = pa.types
    if types.is_dictionary(kind):
        return _in_text(kind.value_type, name)
    if types.is_struct(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return name == "JSON" and all(_in_text(field.type, name) for field in children(kind))
    return not (types.is_nested(kind) or types.is_duration(kind) or _is_bytes(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


@lru_cache(maxsize=16)
def _declared(columns: tuple[tuple[str, str], ...], where: str) -> pa.Schema:
    """Once for all files of an input."""
    return schema_of_names(columns, where)


class Opening(NamedTuple):
    """How the files of one input are opened."""

    source: Input
    number: int
    format: str
    look: int
    """See `look_bytes`."""
    strict: bool
    """All columns are wanted, so one that the plan does not know is an error."""
    calls: ReaderProcesses | None = None
    """The calls of the reader function, where there is one."""

    @property
    def declared(self) -> pa.Schema:
        """The columns whose types the job says."""
        columns = tuple((column.name, column.type) for column in self.source.schema or [])
        return _declared(columns, f"inputs[{self.number}].schema")

    @property
    def empty_files(self) -> bool:
        """Whether a file of no bytes is a table of no rows."""
        return self.format == "JSON" or (
            self.format == "CSV" and self.source.csv is not None and not self.source.csv.header
        )

    def csv(self, path: str) -> Csv:
        if self.source.csv is not None:
            return self.source.csv
        return Csv(delimiter="\t") if plain_name(path).lower().endswith(".tsv") else Csv()

    def open(
        self,
        storage: Storage,
        info: Info,
        *,
        types: pa.Schema | None = None,
        hive: Iterable[str] = (),
        budget: int = BUDGET,
        footer: object = None,
        wanted: Container[str] | None = None,
    ) -> Source:
        """types: what the columns are by the plan, None while it is being made; for files that do not say. wanted: the
        columns that the plan is about, None for all; the types of others may be less exact."""
        if self.format == "Parquet":
            from shuffle_worker.readers.parquet_file import ParquetSource

            parsed: Any = footer
            return ParquetSource(storage, info.path, metadata=parsed, budget=budget, types=types, wanted=wanted)
        if self.format == "Feather":
            from shuffle_worker.readers.feather import FeatherSource

            return FeatherSource(storage, info, footer)
        if self.format == "ORC":
            from shuffle_worker.readers.orc import OrcSource

            return OrcSource(storage, info)
        if self.format == FUNCTION:
            from shuffle_worker.readers.function import ReaderFunctionSource

            assert self.calls is not None
            known = types if types is not None else self.declared if self.source.schema else None
            return ReaderFunctionSource(info, self.calls, self._in_files(known, hive))
        return self._text(storage, info, types, hive, budget, footer)

    @staticmethod
    def _in_files(known: pa.Schema | None, hive: Iterable[str]) -> pa.Schema | None:
        """A function is not asked for what folders spell out."""
        return None if known is None else pa.schema([field for field in known if field.name not in set(hive)])

    def _text(
        self,
        storage: Storage,
        info: Info,
        types: pa.Schema | None,
        hive: Iterable[str],
        budget: int,
        footer: object,
    ) -> Source:
        from shuffle_worker.readers.text import Dialect, TextSource

        if self.format == "CSV":
            from shuffle_worker.readers.csv_text import CsvText

            dialect: Dialect = CsvText(self.csv(info.path), self.declared)
        else:
            from shuffle_worker.readers.json_text import JsonText

            dialect = JsonText(self.declared, strict=self.strict, ignored=list(hive))
        return TextSource(
            storage,
            info,
            dialect,
            types=types,
            look=self.look,
            budget=budget,
            footer=footer,
        )

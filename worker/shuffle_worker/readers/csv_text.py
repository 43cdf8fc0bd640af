"""CSV as a dialect of text: Arrow's parser, given whole records and every column's type.

Types are found from the first records of a file, and never changed later: a value that does not fit is refused with its
line. A column of whole numbers is one only if every number is written as writing it again would give (`007` and `+5`
stay text), for else values would change; and one of fractions only if none of them is such a number, or longer than a
double keeps.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pc

from shuffle_worker.plan.arrow import Array, call
from shuffle_worker.protocol.messages import Csv
from shuffle_worker.readers.records import Lines, Quoted, Records
from shuffle_worker.readers.text import Fault

NO_NUMBER = r"^(\+.*|-?0[0-9].*|-?[0-9]{16,})$"

SHOWN = 80
"""Characters of a bad record or value that a message quotes."""


class CsvText:
    """declared: columns whose types the job says; of files without a header all their columns, in order, or none."""

    name = "CSV"

    def __init__(self, options: Csv, declared: pa.Schema) -> None:
        self._options = options
        self._declared = declared
        plain = not options.quote and not options.escape
        delimiter, quote, escape = (text.encode() for text in (options.delimiter, options.quote, options.escape))
        self.records: Records = Lines() if plain else Quoted(delimiter, quote, escape, not options.newlines_in_values)

    def columns(self, head: bytes) -> tuple[int, list[str]]:
        if not self._options.header:
            first = self._first(head)
            count = len(self._values(first)) if first else 0
            names = list(self._declared.names)
            if not names:
                return 0, [f"f{at}" for at in range(count)]
            if first and len(names) != count:
                raise Fault(
                    0,
                    f"{count} columns, but `schema` names {len(names)}; without a header the schema names every column "
                    "of the files, in order",
                )
            return 0, names
        at = 0
        while True:  # empty lines before the header
            first = self._first(head[at:])
            if first.strip(b"\r\n") or not first:
                break
            at += len(first)
        if not first:
            raise Fault(0, "the header is missing; where files have none set csv.header: false")
        names = self._values(first)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise Fault(at, f"two columns are called {twice!r}; rename one of them")
        return at + len(first), names

    def schema(self, names: Sequence[str], block: bytes) -> pa.Schema:
        known = set(self._declared.names)
        said = {name: self._declared.field(name).type for name in names if name in known}
        if not block:
            return pa.schema([pa.field(name, said.get(name, pa.null())) for name in names])
        try:
            found = self._read(block, names, None, names)
        except pa.ArrowInvalid as error:
            raise self._fault(block, names, None, names, error) from error
        kinds = {field.name: field.type for field in found.schema}
        doubtful = [name for name, kind in kinds.items() if _numeric(kind) and name not in said]
        if doubtful:
            text = self._read(block, names, pa.schema([pa.field(name, pa.string()) for name in doubtful]), doubtful)
            for name in doubtful:
                if not _as_written(found.column(name), text.column(name)):
                    kinds[name] = pa.string()
        for name, kind in kinds.items():
            if pa.types.is_binary(kind):
                raise self._not_utf8(block, names, name)
        return pa.schema([pa.field(name, said.get(name, kinds[name])) for name in names])

    def typed(self, names: Sequence[str], types: pa.Schema) -> pa.Schema:
        known = set(types.names)
        return pa.schema([types.field(name) if name in known else pa.field(name, pa.string()) for name in names])

    def parse(self, block: bytes, names: Sequence[str], types: pa.Schema, wanted: Sequence[str]) -> pa.RecordBatch:
        try:
            if not wanted:
                only = pa.schema([pa.field(names[0], pa.string())])
                return self._read(block, names, only, names[:1]).select([])
            return self._read(block, names, types, wanted)
        except pa.ArrowInvalid as error:
            raise self._fault(block, names, types, wanted, error) from error

    def _read(
        self, block: bytes, names: Sequence[str], types: pa.Schema | None, wanted: Sequence[str]
    ) -> pa.RecordBatch:
        options = self._options
        table = pc.read_csv(
            pa.BufferReader(block),  # type: ignore[arg-type]
            read_options=pc.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=list(names)),
            parse_options=self._parse_options(len(names)),
            convert_options=pc.ConvertOptions(
                column_types=None if types is None else {name: parsed_as(types.field(name).type) for name in wanted},
                include_columns=list(wanted),
                null_values=list(options.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)

    def _parse_options(self, columns: int) -> pc.ParseOptions:
        options = self._options
        return pc.ParseOptions(
            delimiter=options.delimiter,
            quote_char=options.quote or False,
            escape_char=options.escape or False,
            newlines_in_values=True,
            ignore_empty_lines=columns > 1,  # of one column an empty line is a row without a value
        )

    def _first(self, head: bytes) -> bytes:
        ends = self.records.ends(head[: 1 << 20]) or self.records.ends(head)
        return head[: ends[0]] if ends else head

    def _values(self, record: bytes) -> list[str]:
        """The values of one record, as text."""
        try:
            text = str(record, "utf-8")
        except UnicodeDecodeError as error:
            raise Fault(0, _encoding(record, error)) from error
        read = pc.ReadOptions(use_threads=False, block_size=len(record) + 1, autogenerate_column_names=True)
        convert = pc.ConvertOptions(null_values=[], strings_can_be_null=False)
        try:
            count = pc.read_csv(
                pa.BufferReader(text.encode()),  # type: ignore[arg-type]
                read_options=read,
                parse_options=self._parse_options(1),
            ).num_columns
            convert.column_types = {f"f{at}": pa.string() for at in range(count)}
            table = pc.read_csv(
                pa.BufferReader(text.encode()),  # type: ignore[arg-type]
                read_options=read,
                parse_options=self._parse_options(1),
                convert_options=convert,
            )
        except pa.ArrowInvalid as error:
            raise Fault(0, f"cannot be parsed: {' '.join(str(error).split())}: {_shown(record)}") from error
        return [str(column[0].as_py()) for column in table.columns]

    # -- what is wrong -----------------------------------------------------------------------------------------------

    def _fault(
        self, block: bytes, names: Sequence[str], typed: pa.Schema | None, wanted: Sequence[str], error: Exception
    ) -> Fault:
        """Which record of a block cannot be read, and why."""
        ends = self.records.ends(block)
        if not ends or ends[-1] < len(block):
            ends.append(len(block))

        def fails(until: int) -> bool:
            try:
                self._read(block[: ends[until]], names, typed, wanted)
            except pa.ArrowInvalid:
                return True
            return False

        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            if fails(middle):
                high = middle
            else:
                low = middle + 1
        begin = ends[low - 1] if low else 0
        record = block[begin : ends[low]]
        return Fault(begin, self._wrong(record, names, typed, wanted, error))

    def _wrong(
        self, record: bytes, names: Sequence[str], types: pa.Schema | None, wanted: Sequence[str], error: Exception
    ) -> str:
        try:
            record.decode("utf-8")
        except UnicodeDecodeError as undecoded:
            return _encoding(record, undecoded)
        values = self._values(record)
        if len(values) != len(names):
            return (
                f"{len(values)} columns where the header has {len(names)}: {_shown(record)}; correct the row, or set "
                "csv.delimiter, csv.quote or csv.escape to what the file uses"
            )
        for name in wanted if types is not None else []:
            assert types is not None
            try:
                self._read(record, names, types, [name])
            except pa.ArrowInvalid:
                kind, value = types.field(name).type, values[list(names).index(name)]
                return misfit(name, value, kind)
        return f"cannot be parsed: {' '.join(str(error).split())}: {_shown(record)}"

    def _not_utf8(self, block: bytes, names: Sequence[str], column: str) -> Fault:
        as_text = pa.schema([pa.field(column, pa.string())])
        return self._fault(block, names, as_text, [column], pa.ArrowInvalid("not UTF-8"))


def parsed_as(kind: pa.DataType) -> pa.DataType:
    """The type that Arrow's parser is asked for: the one that is wanted, or one that is brought to it afterwards."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    return pa.string() if pa.types.is_decimal256(kind) else kind


def misfit(column: str, value: object, kind: pa.DataType) -> str:
    """A value that is not of its column's type."""
    shown = repr(value)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    why = "every value in the first rows was null" if pa.types.is_null(kind) else f"expected {kind}"
    return (
        f"column {column!r}: {shown} does not fit: {why}, by the first rows of the files or by `schema`; correct the "
        f"value, or declare the type in inputs[].schema (name: {column}, type: string takes every value)"
    )


def _numeric(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _as_written(values: Array, text: Array) -> bool:
    """Whether every number is what writing it again would give; for fractions, whether they look like numbers: without
    zeros or a plus before them, and without more digits than they keep."""
    if pa.types.is_floating(values.type):
        return call("any", call("match_substring_regex", text, pattern=NO_NUMBER)).as_py() is not True
    same = call("all", call("equal", values.cast(pa.string()), text))
    return same.as_py() is not False


def _shown(record: bytes) -> str:
    text = record.rstrip(b"\r\n").decode("utf-8", "replace")
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")


def _encoding(record: bytes, error: UnicodeDecodeError) -> str:
    return (
        f"not UTF-8 (byte {record[error.start]:#04x}): {_shown(record)}; convert the file to UTF-8, with "
        "`iconv -f latin1 -t utf-8` for example"
    )

"""CSV as a dialect of text: Arrow's parser cuts whole records into columns of text, `forms` makes values of them.

Types are found from the first records of a file, and never changed later: a value that does not fit is refused with its
line. Arrow could convert values while it parses, but it accepts more as a number than the plan does (`007`, `0x1F`,
`1e400`). So finding types and using them both use `forms`, at the cost of Arrow's own conversion.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pc

from shuffle_protocol.jobs import Csv
from shuffle_protocol.names import first_twice
from shuffle_worker.columns.arrow import Array, Field, call, scalar
from shuffle_worker.readers.forms import Unfit, infer, typed
from shuffle_worker.readers.records import Lines, Quoted, Records
from shuffle_worker.readers.text import BOM, Fault
from shuffle_worker.readers.text_types import field_of

BREAKS = b"\r\n"

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
            if first.strip(BREAKS) or not first:
                break
            at += len(first)
        if not first:
            raise Fault(0, "the header is missing; where files have none set csv.header: false")
        if b"\0" in first:
            raise Fault(at, f"the header has NUL bytes, so this is no text: {_shown(first)}")
        names = self._values(first)
        twice = first_twice(names)
        if twice is not None:
            raise Fault(at, f"two columns are called {twice!r}; rename one of them")
        return at + len(first), names

    def schema(self, names: Sequence[str], block: bytes) -> pa.Schema:
        known = set(self._declared.names)
        said = {name: self._declared.field(name).type for name in names if name in known}
        if not block:
            return pa.schema([pa.field(name, said.get(name, pa.null())) for name in names])
        found = self._read(block, names, names)
        fields: list[Field] = []
        for name in names:
            if name in said:
                fields.append(pa.field(name, said[name]))
            else:
                fields.append(field_of(name, infer(self._text(found, name, len(names)))))
        return pa.schema(fields)

    def typed(self, names: Sequence[str], types: pa.Schema) -> pa.Schema:
        known = set(types.names)
        return pa.schema([types.field(name) if name in known else pa.field(name, pa.string()) for name in names])

    def parse(self, block: bytes, names: Sequence[str], types: pa.Schema, wanted: Sequence[str]) -> pa.RecordBatch:
        if not wanted:
            return self._read(block, names, names[:1]).select([])
        found = self._read(block, names, wanted)
        columns: list[Array] = []
        for name in wanted:
            text, kind = self._text(found, name, len(names)), types.field(name).type
            try:
                columns.append(typed(text, kind, declared=name in self._declared.names))
            except Unfit as unfit:
                said = misfit(name, text[unfit.row].as_py(), kind, unfit.why)
                raise Fault(self._begin(block, unfit.row, len(names)), said) from unfit
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema([types.field(name) for name in wanted]))

    def _text(self, found: pa.RecordBatch, name: str, columns: int) -> Array:
        """A column of what was read. Where it is a file's only one, `""` is null like an empty line: that is how most
        write it, because many readers skip empty lines."""
        text: Array = found.column(found.schema.get_field_index(name))
        if columns > 1 or "" not in self._options.null_values:
            return text
        empty = call("equal", text, scalar("", pa.string()))
        filled: Array = call("if_else", empty, scalar(None, pa.string()), text)
        return filled

    def _read(self, block: bytes, names: Sequence[str], wanted: Sequence[str]) -> pa.RecordBatch:
        """Whole records as columns of text. Raises Fault."""
        try:
            str(block, "utf-8")
        except UnicodeDecodeError:
            checked = True  # perhaps in a column that the job does not read
        else:
            checked = False
        try:
            return self._parsed(block, names, wanted, checked)
        except pa.ArrowInvalid as error:
            raise self._fault(block, names, wanted, error) from error

    def _parsed(self, block: bytes, names: Sequence[str], wanted: Sequence[str], checked: bool) -> pa.RecordBatch:
        options = self._options
        if block.startswith(BOM):  # in the midst of a file a character like any other; Arrow would drop the first one
            block = BOM + block
        table = pc.read_csv(
            pa.BufferReader(block),  # type: ignore[arg-type]
            read_options=pc.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=list(names)),
            parse_options=self._parse_options(len(names)),
            convert_options=pc.ConvertOptions(
                check_utf8=checked,
                column_types=dict.fromkeys(wanted, pa.string()),
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
        """The first record. A break that ends with what is looked at may be longer."""
        for size in (4 << 10, 1 << 20):
            ends = self.records.ends(head[:size])
            if ends and ends[0] < size:
                return head[: ends[0]]
        ends = self.records.ends(head)
        return head[: ends[0]] if ends else head

    def _values(self, record: bytes) -> list[str]:
        """The values of one record, as text."""
        try:
            text = str(record, "utf-8")
        except UnicodeDecodeError as error:
            raise Fault(0, _encoding(record, error)) from error
        line = text.encode() + b"\n"  # without a line break Arrow ignores a single name
        read = pc.ReadOptions(use_threads=False, block_size=len(line) + 1, autogenerate_column_names=True)
        convert = pc.ConvertOptions(null_values=[], strings_can_be_null=False)
        try:
            count = pc.read_csv(
                pa.BufferReader(line),  # type: ignore[arg-type]
                read_options=read,
                parse_options=self._parse_options(1),
            ).num_columns
            convert.column_types = {f"f{at}": pa.string() for at in range(count)}
            table = pc.read_csv(
                pa.BufferReader(line),  # type: ignore[arg-type]
                read_options=read,
                parse_options=self._parse_options(1),
                convert_options=convert,
            )
        except pa.ArrowInvalid as error:
            raise Fault(0, f"cannot be parsed: {' '.join(str(error).split())}: {_shown(record)}") from error
        return [str(column[0].as_py()) for column in table.columns]

    # -- what is wrong -----------------------------------------------------------------------------------------------

    def _begin(self, block: bytes, row: int, columns: int) -> int:
        """Where the record of a row begins."""
        begin = 0
        for end in [*self.records.ends(block), len(block)]:
            if columns == 1 or block[begin:end].strip(BREAKS):
                if row == 0:
                    return begin
                row -= 1
            begin = end
        return begin

    def _fault(self, block: bytes, names: Sequence[str], wanted: Sequence[str], error: Exception) -> Fault:
        """Which record of a block cannot be parsed, and why."""
        ends = self.records.ends(block)
        if not ends or ends[-1] < len(block):
            ends.append(len(block))

        def fails(until: int) -> bool:
            try:
                self._parsed(block[: ends[until]], names, wanted, checked=True)
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
        return Fault(begin, self._wrong(block[begin : ends[low]], names, error))

    def _wrong(self, record: bytes, names: Sequence[str], error: Exception) -> str:
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
        return f"cannot be parsed: {' '.join(str(error).split())}: {_shown(record)}"


def misfit(column: str, value: object, kind: pa.DataType, why: str = "") -> str:
    """A value that is not of its column's type."""
    shown = repr(value)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    expected = "every value in the first rows was null" if pa.types.is_null(kind) else f"expected {kind}"
    expected += f" ({why})" if why else ""
    return (
        f"column {column!r}: {shown} does not fit: {expected}, by the first rows of the files or by `schema`; correct "
        f"the value, or declare the type in inputs[].schema (name: {column}, type: string takes every value)"
    )


def _shown(record: bytes) -> str:
    text = record.rstrip(BREAKS).decode("utf-8", "replace")
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")


def _encoding(record: bytes, error: UnicodeDecodeError) -> str:
    return (
        f"not UTF-8 (byte {record[error.start]:#04x}): {_shown(record)}; convert the file to UTF-8: "
        "if it is Latin 1, with `iconv -f latin1 -t utf-8`"
    )

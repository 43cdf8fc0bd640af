"""Newline-delimited JSON as a dialect of text: Arrow's parser, given whole lines and every field's type.

Arrow's parser takes more than this format: objects over several lines, several objects in a line. They are
refused here, for a file of them cannot be cut at line breaks; and what does not begin as an object never reaches the
parser.

Fields that the plan does not know are refused where all columns are read, and left out where `columns` names some.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.json as pj

from shuffle_worker.plan.arrow import Field, call, children, parts, scalar
from shuffle_worker.plan.schema import convert
from shuffle_worker.readers.csv_text import SHOWN, misfit
from shuffle_worker.readers.records import Lines
from shuffle_worker.readers.text import Fault

BLANKS = b" \t\r\n"


class JsonText:
    """declared: columns whose types the job says. ignored: fields that are left out because folders spell them out.
    strict: a field that the types do not have is an error."""

    name = "JSON"

    def __init__(self, declared: pa.Schema, *, strict: bool = True, ignored: Sequence[str] = ()) -> None:
        self._declared = declared
        self._strict = strict
        self._ignored = frozenset(ignored)
        self.records = Lines()

    def columns(self, head: bytes) -> tuple[int, list[str]]:  # noqa: ARG002
        return 0, []

    def schema(self, names: Sequence[str], block: bytes) -> pa.Schema:  # noqa: ARG002
        found: list[Field] = []
        if block.strip(BLANKS):
            said = pa.schema([parsed_as(field) for field in self._declared])
            found = list(self._checked(block, said if len(said) else None).schema)
        declared = self._declared.names
        fields = [*self._declared, *(field for field in found if field.name not in declared)]
        return pa.schema([field for field in fields if field.name not in self._ignored])

    def typed(self, names: Sequence[str], types: pa.Schema) -> pa.Schema:  # noqa: ARG002
        return pa.schema([field for field in types if field.name not in self._ignored])

    def parse(
        self,
        block: bytes,
        names: Sequence[str],  # noqa: ARG002
        types: pa.Schema,
        wanted: Sequence[str],
    ) -> pa.RecordBatch:
        if not block.strip(BLANKS):
            return pa.RecordBatch.from_pylist([], schema=pa.schema([types.field(name) for name in wanted]))
        asked = pa.schema([parsed_as(field) for field in types])
        batch = self._checked(block, asked, types)
        for field in batch.schema:
            known = asked.field(field.name) if field.name in asked.names else None
            if known is None and (not self._strict or field.name in self._ignored):
                continue
            if known is None or (types.field(field.name).type != field.type):
                raise self._unknown_field(block, asked)
        return batch.select(list(wanted))

    def _checked(self, block: bytes, asked: pa.Schema | None, types: pa.Schema | None = None) -> pa.RecordBatch:
        """asked: the types that the parser is asked for; types: those that they are to become, None for the same."""
        lines = _objects(block)
        try:
            batch = _brought(self._read(block, asked), types)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._fault(block, asked, types, error) from error
        if batch.num_rows != lines:
            raise self._several(block)
        return batch

    def _read(self, block: bytes, types: pa.Schema | None) -> pa.RecordBatch:
        parse = pj.ParseOptions(explicit_schema=types, newlines_in_values=False, unexpected_field_behavior="infer")
        table = pj.read_json(
            pa.BufferReader(block),  # type: ignore[arg-type]
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=parse,
        )
        if types is not None:
            table = table.select([*types.names, *(n for n in table.column_names if n not in types.names)])
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)

    # -- what is wrong -----------------------------------------------------------------------------------------------

    def _fault(self, block: bytes, asked: pa.Schema | None, types: pa.Schema | None, error: Exception) -> Fault:
        def fails(part: bytes) -> bool:
            try:
                _brought(self._read(part, asked), types)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                return True
            return False

        begin, line = self._first(block, fails)
        return Fault(begin, self._wrong(line, asked, types, error))

    def _first(self, block: bytes, fails: Callable[[bytes], bool]) -> tuple[int, bytes]:
        """The first line with which the lines up to it fail."""
        ends = self.records.ends(block)
        if not ends or ends[-1] < len(block):
            ends.append(len(block))
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            part = block[: ends[middle]]
            if part.strip(BLANKS) and fails(part):
                high = middle
            else:
                low = middle + 1
        begin = ends[low - 1] if low else 0
        return begin, block[begin : ends[low]]

    def _wrong(self, line: bytes, asked: pa.Schema | None, types: pa.Schema | None, error: Exception) -> str:
        try:
            found = json.loads(line, object_pairs_hook=_once)
        except ValueError as invalid:
            return f"no JSON object: {' '.join(str(invalid).split())}: {shown(line)}; each line holds one whole object"
        for name in found if asked is not None else []:
            assert asked is not None
            if name not in asked.names:
                continue
            kind = (types or asked).field(name).type
            try:
                alone = self._read(json.dumps({name: found[name]}).encode(), pa.schema([asked.field(name)]))
                _brought(alone, pa.schema([pa.field(name, kind)]))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                return misfit(name, found[name], kind)
        said = " ".join(str(error).split())
        return f"the types of its values differ from those of the lines before: {said}: {shown(line)}"

    def _several(self, block: bytes) -> Fault:
        def fails(part: bytes) -> bool:
            return self._read(part, None).num_rows != _objects(part)

        begin, line = self._first(block, fails)
        return Fault(begin, f"holds more than one object: {shown(line)}; write one a line")

    def _unknown_field(self, block: bytes, asked: pa.Schema) -> Fault:
        known = {field.name: field.type for field in asked}

        def unknown(part: bytes) -> str | None:
            for field in self._read(part, asked).schema:
                if field.name not in known and (not self._strict or field.name in self._ignored):
                    continue
                if known.get(field.name) != field.type:
                    return field.name
            return None

        begin, line = self._first(block, lambda part: unknown(part) is not None)
        name = unknown(line) or unknown(block) or ""
        if name not in known:
            return Fault(
                begin,
                f"has a field {name!r} that is not in the first lines of any file; declare it in inputs[].schema, or "
                "name the columns to read in `columns`",
            )
        return Fault(
            begin,
            f"column {name!r} has fields inside of it that are not in the first lines of any file: {shown(line)}; "
            f"declare the column's type in inputs[].schema (it is {known[name]} by the first lines)",
        )


def parsed_as(field: Field) -> Field:
    """The type that Arrow's parser is asked for: the one that is wanted, or one that is brought to it afterwards."""
    return field.with_type(_parsed_as(field.type)).with_nullable(True)


def _parsed_as(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_date(kind) or types.is_time(kind):
        return pa.string()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_dictionary(kind):
        return _parsed_as(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([parsed_as(field) for field in children(kind)])
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(parsed_as(parts(kind).value_field).with_name("item"))
    return kind


def _brought(batch: pa.RecordBatch, types: pa.Schema | None) -> pa.RecordBatch:
    """Columns that were parsed as something else to their types; others, and those with fields that the types do not
    have, as they are."""
    for at, field in enumerate(batch.schema):
        kind = field.type if types is None or field.name not in types.names else types.field(field.name).type
        if kind == field.type or _parsed_as(kind) != field.type:
            continue
        column = batch.column(at)
        if pa.types.is_time(kind):  # which Arrow reads from text only as a part of a day
            day = call("binary_join_element_wise", scalar("1970-01-01T", pa.string()), column, scalar("", pa.string()))
            moments = day.cast(pa.timestamp(kind.unit))
            column = moments.cast(kind)
        else:
            column = convert(column, kind)
        batch = batch.set_column(at, pa.field(field.name, kind), column)
    return batch


def _objects(block: bytes) -> int:
    """The number of lines, each of which begins as an object. Raises Fault. For the most part counting does."""
    try:
        str(block, "utf-8")
    except UnicodeDecodeError as error:
        begin = block.rfind(b"\n", 0, error.start) + 1
        line = block[begin:].split(b"\n", 1)[0]
        raise Fault(
            begin, f"not UTF-8 (byte {block[error.start]:#04x}): {shown(line)}; convert the file to UTF-8"
        ) from error
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if block.count(b"\n{") + block.startswith(b"{") == lines:
        return lines
    count = at = 0
    for line in block.split(b"\n"):
        bare = line.strip(BLANKS)
        if bare:
            if not bare.startswith(b"{"):
                raise Fault(at, _no_object(bare))
            count += 1
        at += len(line) + 1
    return count


def _no_object(line: bytes) -> str:
    if line.startswith(b"["):
        return (
            "a JSON array; this format has one object a line: convert the file, with `jq -c .[]` for example "
            f"({shown(line)})"
        )
    return f"no JSON object: {shown(line)}; each line holds one whole object (`jq -c .` writes them so)"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is in the object twice")
    return dict(pairs)


def shown(line: bytes) -> str:
    text = line.strip(BLANKS).decode("utf-8", "replace")
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")

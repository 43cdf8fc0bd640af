"""Newline-delimited JSON as a dialect of text: Arrow's parser, given whole lines and every field's type.

Arrow's parser takes more than this format: objects over several lines, several objects in a line. They are
refused here, because a file of them cannot be cut at line breaks; and what does not begin as an object never reaches
the parser.

Fields that the plan does not know are refused where all columns are read, and left out where `columns` names some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.json as pj

from shuffle_protocol.names import first_twice
from shuffle_worker.columns.arrow import Array, Field
from shuffle_worker.columns.kinds import holds, is_text
from shuffle_worker.readers.csv_text import SHOWN, misfit
from shuffle_worker.readers.forms import DIGITS, Unfit
from shuffle_worker.readers.json_columns import bare_numbers, brought, found_field, parsed_as
from shuffle_worker.readers.json_digits import exact_type, lost_numbers, with_type
from shuffle_worker.readers.json_own import (
    MOST_DEEP,
    Path,
    members,
    numbers,
    numbers_at,
    own_texts,
    too_deep,
    too_large,
)
from shuffle_worker.readers.records import Lines
from shuffle_worker.readers.text import Fault

BLANKS = b" \t\r\n"

Misfits = (pa.ArrowInvalid, pa.ArrowNotImplementedError, Unfit)
"""What reading raises where text is not of the types that were asked for."""

_CHANGED = re.compile(r"Column\(/(.*)\) changed from (\w+) to (\w+)")


class JsonText:
    """declared: columns whose types the job says. ignored: fields that are left out because folders spell them out.
    strict: a field that the types do not have is an error."""

    name = "JSON"

    def __init__(self, declared: pa.Schema, *, strict: bool = True, ignored: Sequence[str] = ()) -> None:
        self._declared = declared
        self._declared_names = frozenset(declared.names)
        self._strict = strict
        self._ignored = frozenset(ignored)
        self.records = Lines()

    def columns(self, head: bytes) -> tuple[int, list[str]]:  # noqa: ARG002
        return 0, []

    def schema(self, names: Sequence[str], block: bytes) -> pa.Schema:  # noqa: ARG002
        found: list[Field] = []
        block = one_break(block)
        if block.strip(BLANKS):
            found = self._found(block)
        declared = self._declared.names
        fields = [*self._declared, *(field for field in found if field.name not in declared)]
        return pa.schema([field for field in fields if field.name not in self._ignored])

    def _found(self, block: bytes) -> list[Field]:
        """The fields that nobody declared, with the types of these lines."""
        said = pa.schema([parsed_as(field) for field in self._declared])
        batch, own = self._checked(block, said if len(said) else None)
        text = pa.schema([parsed_as(field) for field in batch.schema])
        with lines_of(block, own):
            if text.equals(batch.schema):
                return self._found_in(batch, own)
            batch, again = self._checked(own, text)
            with lines_of(own, again):
                return self._found_in(batch, again)

    def _found_in(self, batch: pa.RecordBatch, block: bytes) -> list[Field]:
        mine = [at for at, field in enumerate(batch.schema) if field.name not in self._declared_names]
        fields = {
            batch.schema.field(at).name: found_field(batch.schema.field(at).name, batch.column(at)) for at in mine
        }
        lost = {one.path: one for one in lost_numbers(block, self._inferred(batch, batch.schema))}
        if lost:
            texts = numbers_at(block, lost)
            for path, one in lost.items():
                kind = exact_type(texts[path])
                if kind is None:
                    raise Fault(one.begin, too_many(path, one.text, NO_DECIMAL))
                fields[path[0]] = with_type(fields[path[0]], path, kind)
        return list(fields.values())

    def _inferred(self, batch: pa.RecordBatch, types: pa.Schema) -> list[tuple[Field, Array]]:
        """The columns whose types were found, not declared."""
        names = [name for name in batch.schema.names if name not in self._declared_names and name in types.names]
        return [(types.field(name), batch.column(batch.schema.get_field_index(name))) for name in names]

    def typed(self, names: Sequence[str], types: pa.Schema) -> pa.Schema:  # noqa: ARG002
        return pa.schema([field for field in types if field.name not in self._ignored])

    def parse(
        self,
        block: bytes,
        names: Sequence[str],  # noqa: ARG002
        types: pa.Schema,
        wanted: Sequence[str],
    ) -> pa.RecordBatch:
        block = one_break(block)
        if not block.strip(BLANKS):
            return pa.RecordBatch.from_pylist([], schema=pa.schema([types.field(name) for name in wanted]))
        asked = pa.schema([parsed_as(field) for field in types])
        batch, own = self._checked(block, asked, types)
        with lines_of(block, own):
            self._check_fields(batch, own, asked, types)
            self._no_quotes(own, asked, types)
            for lost in lost_numbers(own, self._inferred(batch, types)):
                if lost.path[0] in wanted:
                    raise Fault(lost.begin, misfit(lost.path[0], lost.text, pa.float64(), DIGITS))
        return batch.select(list(wanted))

    def _check_fields(self, batch: pa.RecordBatch, block: bytes, asked: pa.Schema, types: pa.Schema) -> None:
        """Raises Fault where a line has a field that the types do not have."""
        for field in batch.schema:
            known = asked.field(field.name) if field.name in asked.names else None
            if known is None and (not self._strict or field.name in self._ignored):
                continue
            if known is None or (types.field(field.name).type != field.type):
                raise self._unknown_field(block, asked)

    def _no_quotes(self, block: bytes, asked: pa.Schema, types: pa.Schema) -> None:
        """Raises Fault where a number is in quotes in a column that was found to be of decimals."""
        bare = [field if field.name in self._declared_names else bare_numbers(field) for field in asked]
        if bare != list(asked):
            self._checked(block, pa.schema(bare), types)

    def _checked(
        self, block: bytes, asked: pa.Schema | None, types: pa.Schema | None = None
    ) -> tuple[pa.RecordBatch, bytes]:
        """asked: the types that the parser is asked for; types: those that they are to become, None for the same. With
        the lines that were parsed: where a column is declared as text, its values may have been put in quotes."""
        lines, own = _objects(block), block
        try:
            batch = self._made(block, asked, types)
        except Misfits as error:
            own = self._own_texts(block, asked)
            if own == block:
                raise self._fault(block, asked, types, error) from error
            with lines_of(block, own):
                batch = self._second(own, asked, types)
        if batch.num_rows != lines:
            with lines_of(block, own):
                raise self._several(own)
        return batch, own

    def _second(self, own: bytes, asked: pa.Schema | None, types: pa.Schema | None) -> pa.RecordBatch:
        try:
            return self._made(own, asked, types)
        except Misfits as error:
            raise self._fault(own, asked, types, error) from error

    def _own_texts(self, block: bytes, asked: pa.Schema | None) -> bytes:
        declared = [field for field in asked or [] if field.name in self._declared_names]
        return own_texts(block, pa.schema(declared)) if any(holds(field.type, is_text) for field in declared) else block

    def _made(self, block: bytes, asked: pa.Schema | None, types: pa.Schema | None) -> pa.RecordBatch:
        return brought(self._read(block, asked), types, self._declared_names)

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
                self._made(part, asked, types)
            except Misfits:
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
        said = " ".join(str(error).split())
        try:
            text = line.decode()
            json.loads(text, object_pairs_hook=_once)
            found = members(text)
        except (ValueError, IndexError) as invalid:
            return f"no JSON object: {' '.join(str(invalid).split())}: {shown(line)}; each line holds one whole object"
        if "surrogate" in said:
            return f"half of a surrogate pair, which is no character: {shown(line)}; correct the value"
        if "too big" in said:
            path, large = next((one for one in numbers(text) if too_large(one[1])), (("",), said))
            return too_many(path, large, "is more than a double holds")
        for name in [name for name in found if asked is not None and name in asked.names]:
            assert asked is not None
            kind = (types or asked).field(name).type
            alone = f"{{{json.dumps(name)}:{found[name]}}}".encode()
            try:
                self._made(alone, pa.schema([asked.field(name)]), pa.schema([pa.field(name, kind)]))
            except Misfits as unfit:
                return misfit(name, json.loads(found[name], parse_float=Bare, parse_int=Bare), kind, why_of(unfit))
        changed = _CHANGED.search(said)
        if changed is None:
            return f"cannot be read: {said}: {shown(line)}; each line holds one whole object"
        column, before, now = changed.groups()
        name = next((name for name in found if column == name or column.startswith(name + "/")), column)
        return (
            f"column {name!r}: a {now} where the lines before have a {before}: {shown(line)}; correct the value, or "
            f"declare the type in inputs[].schema (name: {name}, type: string takes every value)"
        )

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


NO_DECIMAL = (
    "has more digits than a double holds, and does not go into one decimal with the other numbers of the column"
)


def too_many(path: Path, text: str, why: str) -> str:
    """A number that no type holds."""
    return (
        f"column {path[0]!r}: {text} {why}; correct the value, or declare the type in inputs[].schema "
        f"(name: {path[0]}, type: string keeps the text of every value)"
    )


class Bare(str):
    """A number in a message, as it is written."""

    def __repr__(self) -> str:
        return str(self)


def why_of(error: Exception) -> str:
    return error.why if isinstance(error, Unfit) else ""


def one_break(block: bytes) -> bytes:
    """The same lines, of the same length, with LF at their ends: CR is blank in JSON, and a line's end by itself."""
    return block.replace(b"\r\n", b" \n").replace(b"\r", b"\n") if b"\r" in block else block


@contextmanager
def lines_of(block: bytes, own: bytes) -> Iterator[None]:
    """A Fault in lines with other texts in them (`own_texts`) is one in the same line of the block."""
    try:
        yield
    except Fault as fault:
        if own is block:
            raise
        raise Fault(_same_line(own, fault.at, block), fault.message) from fault


def _same_line(own: bytes, at: int, block: bytes) -> int:
    """Where the line begins in the block that begins at `at` in the same lines with other texts."""
    place = 0
    for _ in range(own.count(b"\n", 0, at)):
        place = block.find(b"\n", place) + 1
    return place


def _objects(block: bytes) -> int:
    """The number of lines, each of which begins as an object. Raises Fault. For the most part counting does."""
    try:
        str(block, "utf-8")
    except UnicodeDecodeError as error:
        begin = block.rfind(b"\n", 0, error.start) + 1
        line = block[begin:].split(b"\n", 1)[0]
        raise Fault(
            begin,
            f"not UTF-8 (byte {block[error.start]:#04x}): {shown(line)}; convert the file to UTF-8: if it is "
            "Latin 1, with `iconv -f latin1 -t utf-8`",
        ) from error
    deep = too_deep(block)
    if deep is not None:
        line = block[deep:].split(b"\n", 1)[0]
        raise Fault(deep, f"nested more than {MOST_DEEP} deep: {shown(line)}; write the value as text, in quotes")
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
            "a JSON array; this format has one object a line: convert the file, with `jq -c '.[]'` for example "
            f"({shown(line)})"
        )
    return f"no JSON object: {shown(line)}; each line holds one whole object (`jq -c .` writes them so)"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    twice = first_twice([name for name, _ in pairs])
    if twice is not None:
        raise ValueError(f"{twice!r} is in the object twice")
    return dict(pairs)


def shown(line: bytes) -> str:
    text = line.strip(BLANKS).decode("utf-8", "replace")
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")

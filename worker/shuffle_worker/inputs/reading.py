"""What the input is: which files, what their footers say, one schema for all.

Listing and footers are read once, in the plan lease, by a few threads; of every footer only what the plan needs is
kept (row counts, stored bytes of the columns that will be read, statistics of the columns that the filter names), so
that tens of thousands of files cost some hundred bytes a row group.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa

from shuffle_protocol import trail
from shuffle_protocol.errors import DataError, InputNotFound, InvalidSpec
from shuffle_protocol.formats import TEXT
from shuffle_protocol.jobs import Input
from shuffle_protocol.names import check_column, first_twice
from shuffle_worker.columns import hive
from shuffle_worker.columns.arrow import Field, schema_of
from shuffle_worker.columns.hive import Spelled
from shuffle_worker.columns.kinds import is_carried
from shuffle_worker.columns.unify import unify
from shuffle_worker.expressions.typed.statistics import ColumnRange
from shuffle_worker.inputs import metadata
from shuffle_worker.inputs.listing import Listed, list_files, literal_paths
from shuffle_worker.readers.formats import FUNCTION, Opening, opening_of
from shuffle_worker.readers.shape import Shaper
from shuffle_worker.readers.source import Source
from shuffle_worker.readers.text_types import cut_short, plain, text_field
from shuffle_worker.storage import urls
from shuffle_worker.storage.storage import Info, Storage

if TYPE_CHECKING:
    from shuffle_worker.expressions.computed import Computed
    from shuffle_worker.expressions.filter import Filter
    from shuffle_worker.readers.function import ReaderProcesses

THREADS = 16
"""Footers read at once: they are small and mostly waiting for the store."""

FETCHED = 4 << 20
"""Stored bytes that are fetched ahead of a file of which only some rows are looked at; decoded they are as many again.
Several files are looked at at once."""

MOST_SCHEMAS = 8
"""Different schemas that are looked for again in further files; more than these are rarely shared."""

MOST_NOTES = 5


class RowGroup(NamedTuple):
    """A group (see `readers/source.py`)."""

    rows: int
    """Exact or estimated."""
    bytes: int
    """Stored bytes of the columns that are read."""
    output_bytes: int
    """Bytes of the columns that are written."""
    key_bytes: int
    """Bytes of the columns that a sample needs."""
    ranges: dict[str, ColumnRange]
    """What its statistics say of the columns that the filter names, and of the first key."""
    span: int = -1
    """The positions that it takes up; -1 for its rows."""
    whole: bool = False
    """It is decoded at once."""

    @property
    def positions(self) -> int:
        return self.rows if self.span < 0 else self.span


class FileLook(NamedTuple):
    """How the rows of an input's files are looked at while the job is planned."""

    storage: Storage
    target: pa.Schema
    """The transport schema of the columns that the job reads or computes."""
    everything: pa.Schema
    """The same with what is read to compute some of them."""
    where: Filter | None
    absent: frozenset[str]
    """Columns that files may have, and that are null all the same: other inputs of a union have them."""
    mapping: Mapping | None = None
    """The function that the rows go through."""
    share: float = 1.0
    """Rows that come to the operation for each that is read, where they go through one."""

    @property
    def sent(self) -> pa.Schema:
        """The transport schema of what comes to the operation."""
        return self.target if self.mapping is None else self.mapping.sent

    def needed(self, names: Sequence[str]) -> pa.Schema:
        """What is read for some columns of the rows that come to the operation."""
        if self.mapping is not None:
            return self.target
        filtered = self.where.columns if self.where is not None else []
        return pa.schema([self.target.field(name) for name in dict.fromkeys([*names, *filtered])])

    def kept(self, batch: pa.RecordBatch, path: str, names: Sequence[str]) -> pa.RecordBatch:
        """Some columns of what comes to the operation of a batch that is read."""
        if self.where is not None:
            batch = batch.filter(self.where.mask(batch, path))
        if self.mapping is not None:
            batch = self.mapping.of(batch.select(self.mapping.given_names), path)
        return batch.select(list(names))


class Mapping(Protocol):
    """The function that an input's rows go through (`mapped.py`), while the job is planned."""

    rows: int
    """Of each of its calls."""
    sent: pa.Schema
    """The transport schema of what it returns."""

    @property
    def given_names(self) -> list[str]:
        """The columns that it is given."""
        ...

    def of(self, batch: pa.RecordBatch, path: str) -> pa.RecordBatch:
        """What it returns for some rows."""
        ...


class FoundFile(NamedTuple):
    """One input file and what its footer says."""

    info: Info
    hive: dict[str, str | None]
    schema: pa.Schema
    row_groups: list[RowGroup]
    counted: bool = True
    """Rows are exact."""
    opening: Opening | None = None
    computed: Computed | None = None
    """The computed columns, which `open` and `shaper` know then."""
    asked: FileLook | None = None
    """Once it is known what is read of the file."""

    @property
    def look(self) -> FileLook:
        assert self.asked is not None, "what is read is settled before rows are looked at"
        return self.asked

    @property
    def rows(self) -> int:
        """-1 where the format does not say."""
        return sum(group.rows for group in self.row_groups) if self.counted else -1

    @contextlib.contextmanager
    def open(self, storage: Storage, types: pa.Schema | None = None, *, some: bool = False) -> Iterator[Source]:
        """Open it to look at its rows. types: the columns' types by the plan, where they are known already; some: of
        some of the columns only, so that other columns are not reported."""
        assert self.opening is not None
        opening = self.opening._replace(strict=False) if some else self.opening
        if types is not None and self.computed is not None:
            types = self.computed.read_schema(types)
        with (
            trail.at(f"looking at rows of {self.info.path}"),
            opening.open(storage, self.info, types=types, hive=self.hive, budget=FETCHED) as source,
        ):
            yield source

    def shaper(self, source: Source, target: pa.Schema) -> Shaper:
        """For batches of the file. target: a transport schema."""
        absent = self.asked.absent if self.asked is not None else frozenset[str]()
        return Shaper(self.info.path, source.schema, target, self.hive, self.computed, absent)

    def with_computed(self, computed: Computed, names: Collection[str]) -> FoundFile:
        """The file with computed columns. names: those of which ranges are asked."""
        groups = [
            group._replace(ranges=computed.ranges(group.ranges, self.hive, self.schema, names))
            for group in self.row_groups
        ]
        return self._replace(row_groups=groups, computed=computed)


class InputFiles(NamedTuple):
    """The input as a whole."""

    files: list[FoundFile]
    schema: pa.Schema
    """Every column of it, hive ones last."""
    opening: Opening
    notes: list[str]
    """What people may want to know."""
    literal: set[str]
    """See `Listing`."""


class Uses(NamedTuple):
    """What the columns of an input are used for, by name."""

    filtered: Sequence[str] = ()
    """By the filter."""
    keys: Sequence[str] = ()
    """The boundaries of a sort or of ranges are of these."""
    bounded: Sequence[str] = ()
    """See `Planning.bounded`."""
    sent: Sequence[str] | None = None
    """None: all are."""

    @property
    def read(self) -> set[str] | None:
        """Every column that is used; None: all of the input."""
        return None if self.sent is None else {*self.sent, *self.filtered, *self.keys, *self.bounded}


NO_OTHER_USE = Uses()
"""All columns are sent."""


def read_inputs(
    source: Input,
    storage: Storage,
    uses: Uses = NO_OTHER_USE,
    *,
    index: int = 0,
    strict: bool = True,
    calls: ReaderProcesses | None = None,
) -> InputFiles:
    """List the files, read their footers, work out one schema. Raises the JobErrors of bad input.

    index: the input's. strict, calls: see `Opening`."""
    listing = list_files(source, storage, index)
    listed = listing.files
    opening = opening_of(source, index, [one.info.path for one in listed], strict=strict, calls=calls)
    empty = next((one for one in listed if one.info.size == 0), None)
    if empty is not None and not opening.empty_files:
        raise DataError(f"{empty.info.path}: the file is empty (zero bytes); remove it, or leave it out of `path`")
    selected = None if uses.sent is None else frozenset(uses.sent)

    known: list[pa.Schema] = []

    def footer(one: Listed, types: pa.Schema | None = None) -> FoundFile:
        found = _footer(one, storage, opening, uses, types)
        found = found._replace(schema=metadata.lean(found.schema))
        same = next((schema for schema in known if schema.equals(found.schema, check_metadata=True)), None)
        if same is not None:
            return found._replace(schema=same)  # thousands of files share one object
        if len(known) < MOST_SCHEMAS:
            known.append(found.schema)
        return found

    files = [footer(listed[0])]
    first = files[0].schema if opening.format == FUNCTION else None  # a function is asked once
    if len(listed) > 1:
        with ThreadPoolExecutor(min(THREADS, len(listed)), thread_name_prefix="footers") as pool:
            files += list(pool.map(lambda one: footer(one, first), listed[1:]))
    schema = unify(((file.schema, file.info.path) for file in files if file.info.size), **_rules(opening))
    spelled = [Spelled(file.info.path, file.hive) for file in files]
    folders = hive.columns_of(schema.names, spelled, opening.declared)
    names = [*schema.names, *(column.name for column in folders)]
    if not names:
        raise DataError(f"{files[0].info.path}: has no columns, and the input has no file that has any")
    for at, name in enumerate(opening.declared.names):
        check_column(name, names, f"inputs[{index}].schema[{at}].name")
    notes = _lacking(schema, files) + hive.notes(schema.names, spelled, listing.above)[:MOST_NOTES]
    if opening.format in TEXT:
        notes += [*_without_rows(files), *cut_short(schema)][:MOST_NOTES]
        schema = plain(schema)
    else:
        schema, said = metadata.agreed(schema, ((file.schema, file.info.path) for file in files), selected)
        notes += said[:MOST_NOTES]
    whole = schema_of([*schema, *folders], schema.metadata)
    return InputFiles(files, whole, opening, notes, listing.literal)


def _lacking(schema: pa.Schema, files: Sequence[FoundFile]) -> list[str]:
    """Columns that some files do not have, and that are null there."""
    schemas = {id(file.schema): file.schema for file in files}  # thousands of files share one
    notes: list[str] = []
    for name in schema.names:
        short = {key for key, one in schemas.items() if one.get_field_index(name) < 0}
        without = [file for file in files if id(file.schema) in short and name not in file.hive] if short else []
        if len(notes) == MOST_NOTES:
            break
        if without:
            notes.append(
                f"column {name!r} is not in {len(without):,} of {len(files):,} files ({without[0].info.path}, ...): "
                "it is null there"
            )
    return notes


def _without_rows(files: Sequence[FoundFile]) -> list[str]:
    """Files of text that have bytes and no rows: a header alone, most often; line ends of some other kind, perhaps."""
    found = [file for file in files if file.info.size and not any(group.rows for group in file.row_groups)]
    if not found:
        return []
    return [f"{len(found):,} of {len(files):,} files have no rows behind the header ({found[0].info.path}, ...)"]


def select(schema: pa.Schema, columns: Sequence[str] | None, index: int = 0) -> pa.Schema:
    """The columns asked for, in the order asked for; all where none are. index: the input's."""
    if columns is None:
        if not schema.names:
            raise DataError("the input has no columns")
        return schema
    if not columns:
        raise InvalidSpec(
            f"inputs[{index}].columns: is empty; name the columns to keep, or leave the field out to keep all"
        )
    twice = first_twice(columns)
    if twice is not None:
        raise InvalidSpec(f"inputs[{index}].columns: {twice!r} is named twice")
    names = schema.names
    known = frozenset(names)
    for at, name in enumerate(columns):
        if name not in known:
            check_column(name, names, f"inputs[{index}].columns[{at}]")
    return schema_of([schema.field(name) for name in columns], schema.metadata)


def check_carried(fields: Iterable[Field], files: Sequence[FoundFile], index: int) -> None:
    """Raises InvalidSpec where a column that is read is of a type of which rows cannot be moved."""
    for field in fields:
        if not is_carried(field.type):
            file = next((one.info.path for one in files if field.name in one.schema.names), files[0].info.path)
            raise InvalidSpec(
                f"inputs[{index}]: the column {field.name!r} of {file} is {field.type}, which cannot be carried (nor "
                "can any union, or interval of months or of days alone); leave it out with `columns`, or write it in "
                "another type, such as a struct of its parts"
            )


def check_apart(source: Input, found: InputFiles, output: str) -> None:
    """Refuse an output folder inside the input or an input inside the output folder."""
    files = found.files
    target = _place(output)
    for path, pattern in literal_paths(source, found.literal):
        base = urls.glob_base(_place(path)) if pattern else _place(path)
        if target == base:
            raise InvalidSpec(f"output.path: {output} is the input itself; write to another folder")
        inside_folder = target.startswith(base + "/") and not pattern
        if inside_folder or (pattern and urls.matches(f"{target}/part-00000.parquet", _place(path))):
            raise InvalidSpec(
                f"output.path: {output} is inside the input {path}; a later run would read its own output; "
                "write to another folder"
            )
    inside = next((file.info.path for file in files if _place(file.info.path).startswith(target + "/")), None)
    if inside is not None:
        raise InvalidSpec(f"output.path: the input file {inside} is inside {output}; write to another folder")


def _place(path: str) -> str:
    return urls.canonical(path).rstrip("/")


def _footer(one: Listed, storage: Storage, opening: Opening, uses: Uses, types: pa.Schema | None) -> FoundFile:
    try:
        with (
            trail.at(f"reading the schema of {one.info.path}"),
            opening.open(storage, one.info, types=types, hive=one.hive, wanted=uses.read) as source,
        ):
            names = source.schema.names
            if uses.sent is not None:
                sent = frozenset(uses.sent)
                names = [name for name in names if name in sent]
            groups = [_row_group(source, at, names, uses) for at in range(source.groups)]
            return FoundFile(one.info, one.hive, source.schema, groups, source.counted, opening)
    except InputNotFound as error:
        raise InputNotFound(
            f"{one.info.path}: was listed, and is gone now: something removes files from the input"
        ) from error


def _row_group(source: Source, at: int, names: Sequence[str], uses: Uses) -> RowGroup:
    """names: the columns that are sent."""
    read = list(dict.fromkeys([*names, *uses.filtered]))
    sampled = list(dict.fromkeys([*uses.keys, *uses.filtered]))
    ranged = dict.fromkeys([*uses.filtered, *uses.keys[:1], *uses.bounded])
    ranges = {name: source.column_range(at, name) for name in ranged}
    return RowGroup(
        rows=source.rows(at),
        bytes=source.stored_bytes(at, read),
        output_bytes=source.stored_bytes(at, names),
        key_bytes=source.stored_bytes(at, sampled),
        ranges={name: found for name, found in ranges.items() if found is not None},
        span=source.span(at),
        whole=source.whole_groups,
    )


def _rules(opening: Opening) -> dict[str, Any]:
    """How the types of several files become one: types that were found from text are less certain."""
    return {"common": text_field, "cure": "declare its type in `schema`"} if opening.format in TEXT else {}

"""Several inputs that are one table: columns matched by name, types unified as those of files are.

Rows come input after input, and a row's place is that among all of them. So inputs that are one listing cut in pieces
give the bytes that the listing gives. A column that an input does not have is null there. What an input gives is, where
its rows go through a function, what this returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.formats import TEXT
from shuffle_protocol.jobs import Input
from shuffle_protocol.units import some
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.columns.unify import unify
from shuffle_worker.expressions.filter import Filter
from shuffle_worker.inputs import metadata
from shuffle_worker.inputs.dictionaries import settled
from shuffle_worker.inputs.planned import Columns, FoundTable, Needs, PlannedInput, input_name
from shuffle_worker.inputs.probe import UNSEEN, Probe
from shuffle_worker.inputs.table import kept_groups, looked, measure_mapped, sent, to_be_read
from shuffle_worker.readers.text_types import text_field

CURE = "give one input the other's type with inputs[].compute, as in x: CAST(x AS TEXT)"


def columns_of_union(found: Sequence[FoundTable]) -> Columns:
    """What the inputs have together. Raises DataError where a column has types without a common one, naming inputs and
    files, and InvalidSpec where an input has the column and does not want it, but needs it."""
    rules: dict[str, Any] = {}
    if all(one.found.opening.format in TEXT and one.mapped is None for one in found):
        rules["common"] = text_field
    given = [(_given(one), _label(one)) for one in found]
    kept = unify(given, cure=CURE, **rules)
    kept, _ = metadata.agreed(kept, given)
    for one in found:
        if one.mapped is None:
            _check_absent(one, kept)
    # what is read of none has no common type to have
    every = {field.name: field for one in found for field in one.columns.found}
    others = [field for name, field in every.items() if kept.get_field_index(name) < 0]
    return Columns(pa.schema([*kept, *others]), kept, _what(found))


def measure_union(
    found: Sequence[FoundTable], columns: Columns, operation: Needs, filters: Sequence[Filter | None]
) -> tuple[list[PlannedInput], PlannedInput]:
    """The inputs, and what the operation sees: one table of them all. columns: `columns_of_union`."""
    counted = [(one.found.files, one.storage) for one in found if one.mapped is None]
    schema = settled(sent(columns.kept, operation, 0), counted)
    parts = [_part(one, schema, operation, where) for one, where in zip(found, filters, strict=True)]
    files = [file for part in parts for file in part.files]
    merged = PlannedInput(
        number=0,
        source=Input([path for part in parts for path in part.source.paths]),
        files=files,
        schema=schema,
        extra=pa.schema([]),
        target=transport_schema(schema),
        sources=None,
        where=None,
        absent=frozenset(),
        row_groups=kept_groups(files),
        look=UNSEEN,
        rows=sum(part.rows for part in parts),
        stored=sum(part.stored for part in parts),
        columns=len(columns.found),
        format=parts[0].format,
        strict=all(part.strict for part in parts),
        notes=_notes(found, schema),
        parts=parts,
    )
    look = looked(merged, operation)
    parts = [part._replace(look=_look_of(part, look, operation)) for part in parts]
    if merged.called or len({part.source.filter for part in parts}) > 1:  # as a whole they were seen in few places only
        kept = sum(part.passing for part in parts)
        look = look._replace(selectivity=max(kept / max(merged.rows, 1), 0.01))
    if merged.called:
        look = look._replace(row_bytes=_mean_row(parts), read_bytes=max(part.look.read_bytes for part in parts))
    return parts, merged._replace(look=look, parts=parts)


def _part(one: FoundTable, schema: pa.Schema, operation: Needs, where: Filter | None) -> PlannedInput:
    """An input of the union, not looked at yet where its rows go through no function. schema: what is sent of it."""
    if one.mapped is None:
        return to_be_read(one, schema, where, frozenset(_absent(one, schema)))
    return measure_mapped(one, one.mapped.in_union(transport_schema(schema)), schema, operation, where)


def _mean_row(parts: Sequence[PlannedInput]) -> float:
    """Arrow bytes of a row that comes to the operation."""
    sizes = [part.size for part in parts]
    rows = sum(size.rows for size in sizes)
    if not rows:
        return max(size.row_bytes for size in sizes)
    return sum(size.rows * size.row_bytes for size in sizes) / rows


def _look_of(part: PlannedInput, whole: Probe, operation: Needs) -> Probe:
    if part.mapped is not None:
        return part.look
    return looked(part, operation) if part.where is not None else whole._replace(selectivity=1.0)


def _label(one: FoundTable) -> str:
    name = f", {one.source.name}" if one.source.name else ""
    what = one.found.files[0].info.path if one.mapped is None else f"what {one.source.map} returns"
    return f"{what} (inputs[{one.number}]{name})"


def _given(one: FoundTable) -> pa.Schema:
    """The columns that an input gives. Values of a function's results cannot be counted, so dictionaries are wide."""
    if one.mapped is None:
        return one.kept
    return settled(one.mapped.result, None)


def _what(found: Sequence[FoundTable]) -> str:
    """What the operation sees, for people."""
    mapped = [
        f"of {input_name(one.source.name, one.number)} what {one.source.map} returns" for one in found if one.mapped
    ]
    return f"the union of the inputs ({some(mapped, 3)})" if mapped else "the input"


def _absent(one: FoundTable, schema: pa.Schema) -> list[str]:
    """The columns that an input has, that others of the union give and it does not."""
    return [
        name for name in schema.names if one.kept.get_field_index(name) < 0 and one.schema.get_field_index(name) >= 0
    ]


def _check_absent(one: FoundTable, kept: pa.Schema) -> None:
    made = one.computed.names if one.computed is not None else []
    sources = one.computed.sources.names if one.computed is not None else []
    for name in _absent(one, kept):
        if name in one.filtered or name in made or name in sources:
            use = "its filter" if name in one.filtered else "its compute"
            raise InvalidSpec(
                f"inputs[{one.number}].columns: leaves out {name!r}, which {use} uses and another input gives; add it "
                "there, or leave it out of all inputs"
            )


def _notes(found: Sequence[FoundTable], sent_columns: pa.Schema) -> list[str]:
    notes = [note for one in found for note in one.found.notes]
    for one in found:
        lacking = [name for name in sent_columns.names if one.columns.kept.get_field_index(name) < 0]
        if lacking:
            name = input_name(one.source.name, one.number)
            notes.append(f"{name} does not give {', '.join(map(repr, lacking[:5]))}: null in its rows")
    return notes

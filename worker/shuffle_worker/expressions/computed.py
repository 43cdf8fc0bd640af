"""The computed columns of an input, or of a result: which columns they need, their types, and their values for a batch.

    needs(texts, names, where)            without a schema: the columns that are read for some columns
    compile_computed(texts, schema, ...)  -> Computed     InvalidSpec with the place in the text where it is wrong

A computed column may have the name of a column that is there: it takes its place, and every expression reads the
original. Where there is no such column, an expression may name another computed one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.columns.arrow import Array, Field, schema_of
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.expressions.typed.statistics import ColumnRange, constant_range

if TYPE_CHECKING:
    from shuffle_worker.expressions.value import Value

Texts = Mapping[str, str]
"""The expressions, by the columns that they give."""


def field_of(name: str, where: str) -> str:
    """What errors call a computed column's field. where: `inputs[0].compute`."""
    plain = name.replace("_", "a").isalnum() and name.isascii()
    return f"{where}.{name}" if plain else f'{where}["{name}"]'


def needs(texts: Texts, names: Iterable[str], where: str) -> list[str]:
    """What may have to be read for some columns: too much where a name is a column and a computed one, never too
    little. Raises InvalidSpec where an expression does not parse."""
    if not texts:
        return list(names)
    found: dict[str, None] = {}
    left = list(names)
    seen: set[str] = set()
    while left:
        name = left.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if name not in texts:
            found[name] = None
            continue
        inner = _named(texts, name, where)
        if name in inner:
            found[name] = None
        left += inner
        found.update((one, None) for one in inner if one in texts)
    return list(found)


def _named(texts: Texts, name: str, where: str) -> list[str]:
    from shuffle_worker.expressions.sql import Field as Place
    from shuffle_worker.expressions.sql import column_names, parse

    return column_names(parse(texts[name], Place(field_of(name, where), "value", "lower(email)")))


class Computed:
    """Computed columns, compiled. Safe for several threads. values: an expression after those that it
    names. sources: the columns that they read, as they are declared."""

    def __init__(self, values: Mapping[str, Value], sources: pa.Schema) -> None:
        self._values = values
        self.sources = sources
        self._plain = transport_schema(sources)

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def of(self, schema: pa.Schema) -> pa.Schema:
        """The columns of an input with the computed ones: in the place of those of their name, or behind all others,
        by name."""
        fields = [self._field(field.name) if field.name in self._values else field for field in schema]
        there = frozenset(schema.names)
        fields += [self._field(name) for name in sorted(self._values) if name not in there]
        notes = None if there & self._values.keys() else schema.metadata
        return schema_of(fields, notes)

    def _field(self, name: str) -> Field:
        return pa.field(name, self._values[name].type)

    def needed(self, names: Iterable[str]) -> list[str]:
        """The columns that are read for some columns."""
        found: dict[str, None] = {}
        for name in names:
            if name in self._values:
                found.update((one, None) for one in self._sources_of(name))
            else:
                found[name] = None
        return list(found)

    def _sources_of(self, name: str) -> list[str]:
        found: list[str] = []
        for one in self._values[name].columns:
            found += [one] if self._is_source(one) else self._sources_of(one)
        return found

    def _is_source(self, name: str) -> bool:
        return self.sources.get_field_index(name) >= 0

    def read_schema(self, target: pa.Schema) -> pa.Schema:
        """What is read for a transport schema."""
        plain = {field.name: field for field in target if field.name not in self._values}
        return pa.schema([plain.get(name) or self._plain.field(name) for name in self.needed(target.names)])

    def shape(self, batch: pa.RecordBatch, target: pa.Schema, path: str) -> pa.RecordBatch:
        """batch: of `read_schema`. path: of its file. Raises DataError where a value has no result."""
        wanted = [name for name in target.names if name in self._values]
        made: dict[str, Array] = {}
        for name in self._order(wanted):
            made[name] = self._values[name].of(batch, path)
            if not self._is_source(name):
                batch = batch.append_column(name, made[name])
        columns = [made[name] if name in made else batch.column(name) for name in target.names]
        return pa.RecordBatch.from_arrays(columns, schema=target)

    def _order(self, wanted: Collection[str]) -> list[str]:
        """These and the computed columns that they name, each behind those that it names."""
        every = set(wanted)
        for name in reversed(self.names):
            if name in every:
                every.update(one for one in self._values[name].columns if not self._is_source(one))
        return [name for name in self._values if name in every]

    def ranges(
        self, known: Mapping[str, ColumnRange], hive: Mapping[str, str | None], file: pa.Schema, names: Collection[str]
    ) -> dict[str, ColumnRange]:
        """What is known of some columns in a row group, computed ones among them. known: of those that are read; file:
        the columns that its file has."""
        given = dict(known)
        for name in self.sources.names:
            if file.get_field_index(name) < 0:
                given[name] = constant_range(hive.get(name), self._plain.field(name).type)
        found = {name: one for name, one in known.items() if name not in self._values}
        for name in self._order([name for name in names if name in self._values]):
            one = self._values[name].expression.range(given)
            if one is not None:
                found[name] = one
                if not self._is_source(name):
                    given[name] = one
        return found


def compile_computed(
    texts: Texts, schema: pa.Schema, where: str, wanted: Iterable[str] | None = None
) -> Computed | None:
    """schema: of the columns that are read, as they are declared. wanted: the columns that are needed, None for all.
    None where none of them is computed. Raises InvalidSpec."""
    if not texts:
        return None
    from shuffle_worker.expressions.value import compile_value

    columns = frozenset(schema.names)
    values: dict[str, Value] = {}
    for name in _in_order(texts, columns, where, wanted):
        made = [pa.field(other, one.type) for other, one in values.items() if other not in columns]
        values[name] = compile_value(
            texts[name], schema_of([*schema, *made], None), field_of(name, where), _whose(where)
        )
    if not values:
        return None
    read = dict.fromkeys(one for value in values.values() for one in value.columns if one in columns)
    return Computed(values, schema_of([schema.field(name) for name in read], None))


def _whose(where: str) -> str:
    return "the input" if where.startswith("inputs") else "the result"


def _in_order(texts: Texts, columns: Collection[str], where: str, wanted: Iterable[str] | None) -> list[str]:
    """The names of those that are needed, each behind those that it names."""
    graph: dict[str, list[str]] = {}
    left = sorted(texts if wanted is None else {name for name in wanted if name in texts})
    while left:
        name = left.pop()
        if name in graph:
            continue
        graph[name] = [one for one in _named(texts, name, where) if one not in columns and one in texts]
        if name in graph[name]:
            raise InvalidSpec(
                f"{field_of(name, where)}: is computed from itself, and {_whose(where)} has no column {name!r}"
            )
        left += graph[name]
    sorter = TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = " from ".join(repr(name) for name in reversed(error.args[1]))
        raise InvalidSpec(f"{where}: {circle} is computed in a circle; spell one of them out") from None

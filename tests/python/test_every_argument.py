"""Every field of the resource has an argument of the Python API, of the same name and with the same choices: a field
that is new and has none is named here."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel

from shuffle_local.python import agg, reading, typed
from shuffle_local.python.arguments import DEFAULT_CALLS, OTHER_CALLS, RENAMED, argument_of, snake
from shuffle_local.python.job import ShuffleJob
from shuffle_local.python.stores import RechunkedStore, ZarrStore
from shuffle_local.python.tables import GroupedTable, ReadTable, ShuffledTable
from shuffle_local.python.writing import WritesTable
from shuffle_operator.api import fields
from shuffle_operator.api.arrays import Overlap
from shuffle_operator.api.columns import ResultColumn
from shuffle_operator.api.data import Csv, Input, SecretReference, Storage
from shuffle_operator.api.functions import FunctionSource
from shuffle_operator.api.operation import Aggregation, JoinSide, RandomOrder, SortKey
from shuffle_operator.api.problems import Path, path_text
from shuffle_operator.api.schema import crd
from shuffle_operator.api.spec import Metadata, Spec
from shuffle_operator.api.workers import (
    EnvFrom,
    EnvSource,
    EnvVar,
    FieldSelector,
    ImagePullSecret,
    KeySelector,
    OptionalReference,
    ResourceList,
    Resources,
    Scratch,
    Toleration,
    TopologySpread,
)

CALLS: dict[str, Callable[..., Any]] = {
    "read_files": reading.read_files,
    "repartition": ReadTable.repartition,
    "sort": ReadTable.sort,
    "join": ReadTable.join,
    "join_sides": ReadTable.join_sides,
    "join_as_of": ReadTable.join_as_of,
    "group_by": ReadTable.group_by,
    "distinct": ReadTable.distinct,
    "cluster": ReadTable.cluster,
    "window": ReadTable.window,
    "agg": GroupedTable.agg,
    "apply": GroupedTable.apply,
    "rechunk": ZarrStore.rechunk,
    "write_parquet": WritesTable.__call__,
    "named": ShuffleJob.named,
    "with_workers": ShuffleJob.with_workers,
    "with_functions": ShuffleJob.with_functions,
    "configure": ShuffleJob.configure,
}

OWN_CALLS: dict[Path, set[object]] = {
    ("spec", "inputs", "format"): {"Zarr"},
    ("spec", "operation", "join", "type"): {"AsOf"},
}
"""Choices that are calls of their own: read_zarr, join_as_of."""

MAPPINGS: dict[type, type[BaseModel]] = {
    typed.CsvFields: Csv,
    typed.NameField: ImagePullSecret,
    typed.OptionalName: OptionalReference,
    typed.StorageFields: Storage,
    typed.Amounts: ResourceList,
    typed.ResourcesFields: Resources,
    typed.ScratchFields: Scratch,
    typed.KeyFields: KeySelector,
    typed.PodFieldFields: FieldSelector,
    typed.ValueFromFields: EnvSource,
    typed.EnvFields: EnvVar,
    typed.EnvFromFields: EnvFrom,
    typed.TolerationFields: Toleration,
    typed.SpreadFields: TopologySpread,
    typed.FunctionSourceFields: FunctionSource,
    typed.OverlapFields: Overlap,
}
"""Objects that are written as mappings, in the resource's own words."""

MADE_BY_FUNCTIONS = {SortKey, JoinSide, Aggregation, Storage, SecretReference, ResultColumn, RandomOrder}


def objects(schema: dict[str, Any], path: Path) -> Iterator[Path]:
    """The paths of all fields by the CRD, without indices."""
    inner = schema.get("items", schema)
    for name, field in inner.get("properties", {}).items():
        yield (*path, name)
        yield from objects(field, (*path, name))


JOB = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
FIELDS = [path for path in objects(JOB["properties"]["spec"], ("spec",)) if path not in DEFAULT_CALLS]
BY_THE_CALL = {("spec", "inputs"), ("spec", "operation"), ("spec", "output", "format")}
FIELDS = [path for path in FIELDS if path not in BY_THE_CALL]


def test_there_are_fields() -> None:
    assert len(FIELDS) > 120


@pytest.mark.parametrize("path", FIELDS, ids=path_text)
def test_a_field_has_an_argument(path: Path) -> None:
    argument = argument_of(path, {})
    assert argument is not None, f"no call of the Python API sets {path_text(path)}: see arguments.py"
    signature = inspect.signature(CALLS[argument.call])
    assert argument.name in signature.parameters, f"{path_text(path)} has no argument in {argument.call}()"


@pytest.mark.parametrize(("mapping", "model"), MAPPINGS.items(), ids=lambda kind: kind.__name__)
def test_a_mapping_has_the_fields_of_its_object(mapping: type, model: type[BaseModel]) -> None:
    hints = typing.get_type_hints(mapping)
    assert set(hints) == set(fields.by_name(model))
    for name, field in fields.by_name(model).items():
        assert choices(field.annotation) == choices(hints[name])


def test_every_object_of_an_argument_has_a_mapping_or_a_function() -> None:
    known = {*MAPPINGS.values(), *MADE_BY_FUNCTIONS}
    for path in FIELDS:
        model = fields.model_at(path)
        if model is not None:
            twin = {frozenset(fields.by_name(each)) for each in known}
            assert model in known or frozenset(fields.by_name(model)) in twin, path_text(path)


def choices(annotation: object) -> set[object]:
    """What a Literal anywhere in an annotation allows."""
    if typing.get_origin(annotation) is typing.Literal:
        return set(typing.get_args(annotation))
    return {choice for inner in typing.get_args(annotation) for choice in choices(inner)}


@pytest.mark.parametrize("path", [p for p in FIELDS if p[:2] != ("spec", "inputs") or p[2] != "csv"], ids=path_text)
def test_an_argument_has_the_choices_of_its_field(path: Path) -> None:
    field, argument = fields.field_at(path), argument_of(path, {})
    assert field is not None
    assert argument is not None
    if argument.below or fields.inner_model(field.annotation) is not None or argument.name == "chunks":
        return
    call = CALLS[argument.call]
    names = {**inspect.unwrap(call).__globals__, "pa": pa, "ReadTable": ReadTable, "ShuffleJob": ShuffleJob}
    hints = typing.get_type_hints(call, names)
    wanted = choices(field.annotation)
    wanted -= OWN_CALLS.get(path, set())
    assert choices(hints[argument.name]) == wanted


def test_what_is_renamed_or_set_elsewhere_is_there() -> None:
    paths = {*FIELDS, *DEFAULT_CALLS}
    assert set(RENAMED) | set(OTHER_CALLS) <= paths
    assert set(CALLS) == {*DEFAULT_CALLS.values(), *OTHER_CALLS.values()}


@pytest.mark.parametrize("name", ["read_parquet", "read_csv", "read_json", "read_orc", "read_feather"])
def test_every_reader_has_what_concerns_its_format(name: str) -> None:
    found = set(inspect.signature(getattr(reading, name)).parameters)
    whole = set(inspect.signature(reading.read_files).parameters) - {"format", "reader", "csv", "schema"}
    of_text = {"schema"} if name in ("read_csv", "read_json") else set()
    of_csv = {snake(field) for field in fields.by_name(Csv)} if name == "read_csv" else set()
    assert found == whole | of_text | of_csv


def test_every_format_is_read_and_written() -> None:
    wanted = choices(Input.model_fields["format"].annotation)
    for verb, owner in (("read", reading), ("write", ShuffledTable)):
        assert {f"{verb}_{kind.lower()}" for kind in wanted if kind != "Zarr"} <= set(dir(owner))  # type: ignore[attr-defined]
    assert callable(reading.read_zarr)
    assert callable(RechunkedStore.write_zarr)


def test_every_aggregation_has_a_function() -> None:
    for name in choices(Aggregation.model_fields["function"].annotation):
        function = getattr(agg, snake(str(name)))
        parameters = set(inspect.signature(function).parameters)
        values = {"column": "amount", "with_": "other", "quantile": 0.5, "values": 3}
        given = {key: value for key, value in values.items() if key in parameters}
        assert function(**given).function == name


def test_metadata_has_arguments() -> None:
    by_server = {"uid", "generation"}
    assert set(fields.by_name(Metadata)) - by_server == set(inspect.signature(ShuffleJob.named).parameters) - {"self"}


def test_the_spec_has_no_part_that_nobody_makes() -> None:
    made = {path[1] for path in DEFAULT_CALLS if len(path) > 1} | set(
        inspect.signature(ShuffleJob.configure).parameters
    )
    assert {name for name in fields.by_name(Spec) if name not in made and snake(name) not in made} == set()

"""Flyte's literals as values for placeholders, and what a job wrote as a literal."""

from __future__ import annotations

from typing import Any

from flytekit.models.literals import (
    Literal,
    LiteralMap,
    Scalar,
    StructuredDataset,
    StructuredDatasetMetadata,
)
from flytekit.models.types import StructuredDatasetType

from shuffle_operator.flyte.placeholders import Value
from shuffle_protocol.errors import InvalidSpec

OUTPUT = "output"
"""The task's one output: a StructuredDataset of Parquet files at the job's output path."""


def values_of(inputs: LiteralMap | None) -> dict[str, Value]:
    """The inputs by name. Raises InvalidSpec for one of which no text can be made."""
    return {name: _value(name, literal) for name, literal in (inputs.literals if inputs is not None else {}).items()}


def _value(name: str, literal: Literal) -> Value:
    if literal.collection is not None:
        return [_value(name, item) for item in literal.collection.literals]
    scalar = literal.scalar
    if scalar is not None:
        if scalar.primitive is not None and scalar.primitive.duration is None:
            value: Any = scalar.primitive.value
            return value  # type: ignore[no-any-return]
        for place in (scalar.blob, scalar.structured_dataset, scalar.schema):
            if place is not None:
                return str(place.uri)
        if scalar.union is not None:
            return _value(name, scalar.union.value)
    raise InvalidSpec(
        f"input {name}: a job's spec takes texts, numbers, booleans, times, lists of these, and what has an address "
        f"(a file, a folder, a StructuredDataset); found {_kind(literal)}"
    )


def _kind(literal: Literal) -> str:
    if literal.map is not None:
        return "a map"
    scalar = literal.scalar
    if scalar is not None and scalar.primitive is not None:
        return "a duration"
    return "nothing (None)" if scalar is not None and scalar.none_type is not None else "an object"


def outputs_of(path: str) -> LiteralMap:
    """Made here rather than by flytekit's conversion, which would copy a local folder."""
    kind = StructuredDatasetMetadata(structured_dataset_type=StructuredDatasetType(format="parquet"))
    dataset = StructuredDataset(uri=path, metadata=kind)
    return LiteralMap({OUTPUT: Literal(scalar=Scalar(structured_dataset=dataset))})

"""The models as a tree of fields by the API's names: what is at a path, and where a name belongs.

Messages use it (which names are allowed here? what range has this number?), and so does the reference page.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Iterator

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shuffle_operator.api.problems import Path
from shuffle_operator.api.spec import ShuffleJob


def name_of(model: type[BaseModel], python_name: str) -> str:
    """The API's name of a field."""
    return model.model_fields[python_name].alias or python_name


def by_name(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the API's names."""
    return {name_of(model, name): field for name, field in model.model_fields.items()}


def inner_model(annotation: object) -> type[BaseModel] | None:
    """The model that a field holds, be it optional, in a list or in a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        model = inner_model(argument)
        if model is not None:
            return model
    return None


def is_list(annotation: object) -> bool:
    """Whether a field holds a list, be it optional or annotated."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Annotated, typing.Union, types.UnionType):
        return any(is_list(argument) for argument in typing.get_args(annotation))
    return origin is list


def field_at(path: Path) -> FieldInfo | None:
    """The field that a path of a job leads to; None where the models know none."""
    model: type[BaseModel] | None = ShuffleJob
    field: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            continue
        if model is None:
            return None
        field = by_name(model).get(part)
        if field is None:
            return None
        model = inner_model(field.annotation)
    return field


def model_at(path: Path) -> type[BaseModel] | None:
    """The model of the object at a path; None where it is no object with fields."""
    if not path:
        return ShuffleJob
    field = field_at(path)
    return inner_model(field.annotation) if field is not None else None


def limits(field: FieldInfo) -> tuple[int | None, int | None]:
    """The smallest and the largest number of a field."""
    return _limits([*field.metadata, *_metadata(field.annotation)])


def _metadata(annotation: object) -> Iterator[object]:
    if typing.get_origin(annotation) is typing.Annotated:
        for item in typing.get_args(annotation)[1:]:
            yield from item.metadata if isinstance(item, FieldInfo) else [item]
    for argument in typing.get_args(annotation):
        yield from _metadata(argument)


def _limits(metadata: list[object]) -> tuple[int | None, int | None]:
    least = most = None
    for item in metadata:
        if isinstance(item, annotated_types.Ge):
            least = typing.cast("int", item.ge)
        if isinstance(item, annotated_types.Le):
            most = typing.cast("int", item.le)
    return least, most


@functools.cache
def places() -> dict[str, list[str]]:
    """For each name of a field of the spec, the objects that have it: partitions -> [spec.output]."""
    result: dict[str, list[str]] = {}

    def visit(model: type[BaseModel], path: str) -> None:
        for name, field in by_name(model).items():
            result.setdefault(name, []).append(path)
            inner = inner_model(field.annotation)
            if inner is not None:
                visit(inner, f"{path}.{name}" + ("[]" if is_list(field.annotation) else ""))

    visit(typing.cast("type[BaseModel]", inner_model(ShuffleJob.model_fields["spec"].annotation)), "spec")
    return result

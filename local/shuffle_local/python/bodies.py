"""From the arguments of a call to an object of the resource, checked by the resource's own model at once.

An argument that is None was not given: the object leaves it out, and the resource's default holds. What concerns
several objects is checked when a job is made of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shuffle_local.python.arguments import Calls, named, snake
from shuffle_operator.api.explain_errors import problem_of
from shuffle_operator.api.fields import name_of
from shuffle_operator.api.problems import InvalidJob, Path, Problem

Body = Mapping[str, Any]
"""An object of the resource: plain data by the API's names."""


def plain(value: object) -> Any:
    """A value as YAML could hold it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(plain(item) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value


def given(model: type[BaseModel], arguments: Mapping[str, object]) -> dict[str, Any]:
    """The arguments that were given. arguments: by the model's names in Python."""
    return {name_of(model, name): plain(value) for name, value in arguments.items() if value is not None}


def body_of(model: type[BaseModel], arguments: Mapping[str, object], path: Path, calls: Calls) -> dict[str, Any]:
    """The object at that path of the resource. Raises InvalidJob, with the arguments by their names."""
    body = given(model, arguments)
    check(model, body, path, calls)
    return body


def check(model: type[BaseModel], body: Body, path: Path, calls: Calls) -> None:
    """Raises InvalidJob."""
    try:
        model.model_validate(body, by_alias=True, by_name=False)
    except ValidationError as error:
        found = [_placed(each, path) for each in error.errors(include_url=False)]
        raise InvalidJob(named(found, calls)) from None


def checked_model(model: type[BaseModel], arguments: Mapping[str, object], path: Path, call: str) -> Any:
    """As `body_of`, as the model. call: whose arguments these are, by their names in snake_case."""
    try:
        return model.model_validate(given(model, arguments), by_alias=True, by_name=False)
    except ValidationError as error:
        found = [_placed(each, path) for each in error.errors(include_url=False)]
        at = len(path)
        raise InvalidJob(
            [one._replace(argument=f"{call}({snake(str(one.path[at]))}=...)") for one in found if len(one.path) > at]
            or found
        ) from None


def refused(call: str, argument: str, message: str) -> InvalidJob:
    """An argument that is wrong in Python's own way, before it is a field of anything."""
    return InvalidJob([Problem((), message, argument=f"{call}({argument}=...)")])


@contextmanager
def naming(calls: Calls) -> Iterator[None]:
    """Problems that are found inside name the arguments that they are about."""
    try:
        yield
    except InvalidJob as error:
        raise InvalidJob(named(error.problems, calls), error.source) from None


def _placed(error: ErrorDetails, path: Path) -> Problem:
    error["loc"] = (*path, *error["loc"])
    return problem_of(error, {})

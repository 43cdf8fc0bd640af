"""Columns that a job declares: of files that do not say their types, and of what a function returns."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from shuffle_operator.api.problems import shorten
from shuffle_operator.api.types import ApiModel, Column
from shuffle_protocol.type_syntax import NoType, read


def _type(text: str) -> str:
    try:
        read(text)
    except NoType as error:
        raise PydanticCustomError("said", "{message}", {"message": str(error)}) from None
    return text


class ResultColumn(ApiModel):
    """One column of the table that a function returns."""

    name: Column = Field(description="The column's name.")
    type: Annotated[str, AfterValidator(_type)] = Field(
        min_length=1, max_length=1024, description="Its Arrow type, for example int64, string, timestamp[us, tz=UTC]."
    )


def _once(columns: list[ResultColumn]) -> list[ResultColumn]:
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            message = f'"{shorten(column.name)}" is declared twice; keep one of them'
            raise PydanticCustomError("said", "{message}", {"message": message})
        seen.add(column.name)
    return columns


DeclaredColumns = Annotated[list[ResultColumn], AfterValidator(_once)]
"""Columns, each declared once."""

"""Columns that a job declares: of files that do not say their types, and of what a function returns."""

from __future__ import annotations

from pydantic import Field

from shuffle_operator.api.types import ApiModel, Column


class ResultColumn(ApiModel):
    """One column of the table that a function returns."""

    name: Column = Field(description="The column's name.")
    type: str = Field(
        min_length=1, max_length=1024, description="Its Arrow type, for example int64, string, timestamp[us, tz=UTC]."
    )

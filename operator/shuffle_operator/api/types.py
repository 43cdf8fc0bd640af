"""What the models of the API are made of: their base class, and the kinds of values that their fields hold.

Everything that the CRD, the documentation and the validation need to know of a field is on the field: its type, its
limits, its default and its description. Every string and every list has an upper limit, because Kubernetes works out
the worst cost of a CEL rule from them, and refuses a CRD whose rules could be dear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shuffle_operator.api.problems import shorten
from shuffle_operator.api.quantities import BYTES_FORMS, PATTERN, BadQuantity, parse_bytes, parse_cpu
from shuffle_protocol.units import some

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
INT32_MAX = (1 << 31) - 1


class ApiModel(BaseModel):
    """A part of the API. Python names are snake_case, those of the API camelCase; job files may only use the latter.

    Types are strict: `partitions: "64"` is refused, because the API server would refuse it too.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
        defer_build=True,  # at the first use, all at once: less to build than one validator for each model
    )


class StatusModel(ApiModel):
    """A part of the status: written by the operator, read leniently, because an operator of another version may have
    written it."""

    model_config = ConfigDict(extra="ignore", strict=False)


def _quantity(check: Callable[[str | int | float], object]) -> Any:
    """A quantity as the user wrote it, a string or a number, that `check` accepts."""

    def validate(value: object) -> str | int | float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise PydanticCustomError("quantity", "expected a quantity, {forms}", {"forms": BYTES_FORMS})
        try:
            check(value)
        except BadQuantity as error:
            raise PydanticCustomError("quantity", "{problem}", {"problem": str(error)}) from None
        return value

    schema = {"x-kubernetes-int-or-string": True, "pattern": PATTERN}
    return Annotated[str | int | float, PlainValidator(validate), WithJsonSchema(schema)]


def byte_quantity(minimum: int, maximum: int) -> Any:
    """A quantity of bytes within limits; `quantities.parse_bytes` makes a number of it."""
    return _quantity(lambda value: parse_bytes(value, minimum, maximum))


CpuQuantity = _quantity(parse_cpu)

Column = Annotated[str, Field(min_length=1, max_length=256)]
"""The name of a column; a dot in it is part of the name."""

ResourceName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of another Kubernetes object in the job's namespace."""

StoragePath = Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A path or an fsspec URL."""

FunctionName = Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
"""A Python function in the worker's image: `package.module:function`."""

FreeObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""An object whose fields are not checked one by one."""


REPEATED = 5
"""Names that an error lists."""


def _unique(values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1}) if len(set(values)) < len(values) else []
    if twice:
        names = some([f'"{shorten(name)}"' for name in twice], REPEATED)
        raise PydanticCustomError("repeated", "{names} listed more than once; name each once", {"names": names})
    return values


UniqueColumns = Annotated[
    list[Column], AfterValidator(_unique), Field(json_schema_extra={"x-kubernetes-list-type": "set"})
]
"""Columns, none of them twice."""

Format = Literal["Parquet", "CSV", "JSON", "Feather", "ORC", "Zarr"]

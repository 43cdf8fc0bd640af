"""`spec.functions`: where the job's own functions are found beside the worker's image, and the memory that they get."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shuffle_operator.api.data import Storage
from shuffle_operator.api.types import INT32_MAX, TIB, ApiModel, ResourceName, StoragePath, byte_quantity
from shuffle_protocol import memory

MOUNT = "/var/run/shuffle-functions"
"""Where ConfigMaps are mounted in a worker's pod: each in a folder of its number among the sources."""

LEAST_MEMORY = memory.LEAST_FUNCTIONS
"""Of all processes of functions together."""

SHARE = 0.4
"""Of a worker's memory that functions get where the job does not say."""


class ConfigMapReference(ApiModel):
    """A ConfigMap in the job's namespace."""

    name: ResourceName = Field(description="The ConfigMap's name.")


class FunctionSource(ApiModel):
    """Modules that functions are imported from: exactly one of configMapRef and path."""

    config_map_ref: ConfigMapReference | None = Field(
        default=None,
        description="A ConfigMap whose keys are modules (sessions.py). It must be there before the workers start. A "
        "run on one machine looks in the folder of the job file instead.",
    )
    path: StoragePath | None = Field(
        default=None,
        description="A .py, .zip or .whl file at any fsspec URL, fetched once by each worker; or a folder of the "
        "image. A wheel's dependencies are not installed: they must be in the image.",
    )
    sha256: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        default=None, description="With path: what the file's SHA-256 must be, in hexadecimal."
    )
    storage: Storage | None = Field(default=None, description="With path: how its store is reached.")


class Functions(ApiModel):
    """What functions of your own need: where they are found, and memory."""

    sources: list[FunctionSource] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="Where modules are looked for, in this order, before what the image has installed.",
    )
    memory: byte_quantity(LEAST_MEMORY, 64 * TIB) | None = Field(  # type: ignore[valid-type]
        default=None,
        description="How much of each pod's memory (on one machine: of each worker's) the processes of functions "
        "share; by default two fifths.",
    )
    timeout_seconds: int = Field(
        default=3600, ge=1, le=INT32_MAX, description="The longest that one call of map may take."
    )

"""Objects of the resource that arguments take as mappings, in the resource's own words: for completion and type checks.

What they mean is on the models in `shuffle_operator/api` and in docs/reference/shufflejob.md; a test holds each to its
model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Quantity = str | int | float


class CsvFields(TypedDict, total=False):
    """As `read_csv` has them."""

    delimiter: str
    quote: str
    escape: str
    header: bool
    nullValues: Sequence[str]
    newlinesInValues: bool


class NameField(TypedDict):
    """Another object of the job's namespace."""

    name: str


class OptionalName(TypedDict, total=False):
    """Another object of the job's namespace, that may be absent."""

    name: str
    optional: bool


class StorageFields(TypedDict, total=False):
    """As `storage(...)` makes it."""

    secretRef: NameField
    endpoint: str
    options: Mapping[str, Any]


Amounts = TypedDict(
    "Amounts", {"cpu": Quantity, "memory": Quantity, "ephemeral-storage": Quantity}, total=False
)  # the key is no name of Python's


class ResourcesFields(TypedDict, total=False):
    """What each worker asks for, and may use at most."""

    requests: Amounts
    limits: Amounts


class ScratchFields(TypedDict, total=False):
    """Each worker's local disk."""

    sizeLimit: Quantity
    storageClassName: str
    medium: Literal["Memory"]


class KeyFields(TypedDict, total=False):
    """A key of a Secret or ConfigMap."""

    name: str
    key: str
    optional: bool


class PodFieldFields(TypedDict, total=False):
    """A field of the pod."""

    fieldPath: str
    apiVersion: str


class ValueFromFields(TypedDict, total=False):
    """Where a variable's value comes from."""

    secretKeyRef: KeyFields
    configMapKeyRef: KeyFields
    fieldRef: PodFieldFields


class EnvFields(TypedDict, total=False):
    """An environment variable."""

    name: str
    value: str
    valueFrom: ValueFromFields


class EnvFromFields(TypedDict, total=False):
    """All keys of a Secret or ConfigMap."""

    prefix: str
    secretRef: OptionalName
    configMapRef: OptionalName


class TolerationFields(TypedDict, total=False):
    """A taint that workers tolerate."""

    key: str
    operator: Literal["Exists", "Equal"]
    value: str
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
    tolerationSeconds: int


class SpreadFields(TypedDict, total=False):
    """How workers are spread over zones or nodes."""

    maxSkew: int
    topologyKey: str
    whenUnsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    minDomains: int
    labelSelector: Mapping[str, Any]


class FunctionSourceFields(TypedDict, total=False):
    """Where modules of functions are."""

    configMapRef: NameField
    path: str
    sha256: str
    storage: StorageFields


class OverlapFields(TypedDict, total=False):
    """The halo that a function sees around a chunk."""

    depth: Mapping[str, int | str | tuple[int, int]]
    boundary: str | float | None
    boundaries: Mapping[str, str | float | None]
    trim: bool

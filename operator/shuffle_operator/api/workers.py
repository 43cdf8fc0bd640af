"""`spec.workers`: how many pods do the work, with what, and where they may run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shuffle_operator.api.types import (
    GIB,
    INT32_MAX,
    MIB,
    TIB,
    ApiModel,
    CpuQuantity,
    FreeObject,
    ResourceName,
    byte_quantity,
)

MAX_WORKERS = 1024
Replicas = Annotated[int, Field(ge=1, le=MAX_WORKERS)]
Memory = byte_quantity(256 * MIB, 64 * TIB)
LabelKey = Annotated[str, Field(max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
EnvName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")]


class ResourceList(ApiModel):
    """An amount of each resource."""

    cpu: CpuQuantity | None = Field(default=None, description='Processors, for example "2" or 500m.')
    memory: Memory | None = Field(  # type: ignore[valid-type]
        default=None, description="Memory, for example 4Gi; at least 256Mi."
    )
    ephemeral_storage: byte_quantity(1 * MIB, 1024 * TIB) | None = Field(  # type: ignore[valid-type]
        default=None, alias="ephemeral-storage", description="Local disk; scratch.sizeLimit is added to it by itself."
    )


class Resources(ApiModel):
    """What each pod asks for and may use; its workers share it."""

    requests: ResourceList | None = Field(default=None, description="What a node must have free.")
    limits: ResourceList | None = Field(
        default=None,
        description="What a pod may use at most. The memory limit is the budget that all of its buffers share.",
    )


class Scratch(ApiModel):
    """Each pod's local disk for what does not fit in memory."""

    size_limit: byte_quantity(64 * MIB, 1024 * TIB) | None = Field(  # type: ignore[valid-type]
        default=None, description="Its size; by default estimated from the input."
    )
    storage_class_name: ResourceName | None = Field(
        default=None,
        description="Makes scratch a generic ephemeral volume of this storage class instead of an emptyDir.",
    )
    medium: Literal["Memory"] | None = Field(
        default=None, description="Memory: a tmpfs, which counts against the memory limit. By default the node's disk."
    )


class KeySelector(ApiModel):
    """A key of a Secret or ConfigMap."""

    name: ResourceName = Field(description="The object's name.")
    key: str = Field(min_length=1, max_length=253, description="The key in it.")
    optional: bool | None = Field(default=None, description="Whether it may be absent.")


class FieldSelector(ApiModel):
    """A field of the pod."""

    field_path: str = Field(min_length=1, max_length=253, description="For example metadata.name.")
    api_version: str | None = Field(default=None, max_length=63, description="By default v1.")


class EnvSource(ApiModel):
    """Where an environment variable's value comes from."""

    secret_key_ref: KeySelector | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeySelector | None = Field(default=None, description="A key of a ConfigMap.")
    field_ref: FieldSelector | None = Field(default=None, description="A field of the pod.")


class EnvVar(ApiModel):
    """An environment variable of the workers."""

    name: EnvName = Field(description="The variable's name.")
    value: str | None = Field(default=None, max_length=32_768, repr=False, description="Its value.")
    value_from: EnvSource | None = Field(default=None, description="Where its value comes from, instead of value.")


class OptionalReference(ApiModel):
    """A Secret or ConfigMap of the job's namespace."""

    name: ResourceName = Field(description="Its name.")
    optional: bool | None = Field(default=None, description="Whether it may be absent.")


class EnvFrom(ApiModel):
    """All keys of a Secret or ConfigMap as environment variables."""

    prefix: str | None = Field(default=None, max_length=256, description="Put before each name.")
    secret_ref: OptionalReference | None = Field(default=None, description="The Secret.")
    config_map_ref: OptionalReference | None = Field(default=None, description="The ConfigMap.")


class ImagePullSecret(ApiModel):
    """A Secret for the image's registry."""

    name: ResourceName = Field(description="The Secret's name.")


class Toleration(ApiModel):
    """A taint that workers tolerate."""

    key: LabelKey | None = Field(default=None, description="The taint's key; all where absent.")
    operator: Literal["Equal", "Exists"] | None = Field(default=None, description="By default Equal.")
    value: LabelValue | None = Field(default=None, description="The taint's value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect; all where absent."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, le=INT32_MAX, description="For NoExecute: how long; for ever where absent."
    )


class TopologySpread(ApiModel):
    """How workers are spread over zones or nodes."""

    max_skew: int = Field(ge=1, le=MAX_WORKERS, description="By how many workers two domains may differ.")
    topology_key: LabelKey = Field(description="The node label that makes a domain.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        description="What happens where this is not possible."
    )
    min_domains: int | None = Field(default=None, ge=1, le=MAX_WORKERS, description="The least number of domains.")
    label_selector: FreeObject | None = Field(
        default=None, description="Which pods are counted; by default this job's workers."
    )


class Workers(ApiModel):
    """The worker pods. Everything has a default."""

    replicas: Replicas | None = Field(
        default=None,
        description="How many pods; by default chosen from the size of the input. Each has one worker, or where it has "
        "more than two processors one for every two. May be changed while it runs.",
    )
    min_replicas: Replicas | None = Field(
        default=None, description="The fewest pods, instead of replicas: what the job begins with, if it is above 3."
    )
    max_replicas: Replicas | None = Field(
        default=None,
        description="The most pods, instead of replicas: when the input is known, the job grows to as many as hold "
        "all rows in memory, at most to this.",
    )
    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^\S+$")] | None = Field(
        default=None, description="The workers' image; by default the one of the operator's version."
    )
    resources: Resources | None = Field(default=None, description="Processors and memory of each pod.")
    scratch: Scratch | None = Field(default=None, description="Local disk for what does not fit in memory.")
    env: list[EnvVar] | None = Field(default=None, max_length=256, description="Environment variables.")
    env_from: list[EnvFrom] | None = Field(
        default=None, max_length=64, description="Secrets and ConfigMaps whose keys become environment variables."
    )
    image_pull_secrets: list[ImagePullSecret] | None = Field(
        default=None, max_length=16, description="Secrets for the image's registry."
    )
    service_account_name: ResourceName | None = Field(
        default=None, description="The workers' service account; its token is not mounted."
    )
    node_selector: dict[str, LabelValue] | None = Field(
        default=None, max_length=64, description="Labels that a node must have."
    )
    tolerations: list[Toleration] | None = Field(
        default=None, max_length=64, description="Taints that workers tolerate."
    )
    affinity: FreeObject | None = Field(default=None, description="As in a pod's spec.")
    topology_spread_constraints: list[TopologySpread] | None = Field(
        default=None, max_length=16, description="How workers are spread over zones or nodes."
    )
    priority_class_name: ResourceName | None = Field(default=None, description="The workers' priority class.")
    labels: dict[str, LabelValue] | None = Field(default=None, max_length=64, description="Further labels of the pods.")
    annotations: dict[str, Annotated[str, Field(max_length=32_768)]] | None = Field(
        default=None, max_length=64, description="Further annotations of the pods."
    )
    pod_template: FreeObject | None = Field(
        default=None,
        repr=False,  # it may have environment variables
        description="Overrides for the rest of the pod, merged strategically over what the operator makes; the main "
        "container is called worker. Not checked field by field.",
    )


DEFAULT_MEMORY = 4 * GIB
"""A worker's memory in a cluster where neither a limit nor a request is given."""

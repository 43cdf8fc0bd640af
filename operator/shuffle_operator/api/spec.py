"""The ShuffleJob: `ShuffleJob.model_validate` checks shapes; `validation.load_job` checks everything."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from shuffle_operator.api.data import Input, Output
from shuffle_operator.api.functions import Functions
from shuffle_operator.api.operation import Operation
from shuffle_operator.api.status import Status
from shuffle_operator.api.types import INT32_MAX, ApiModel, StatusModel
from shuffle_operator.api.workers import Workers

GROUP = "shuffle-operator.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ShuffleJob"
PLURAL = "shufflejobs"

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
MAX_NAME = 49
"""Characters of a job's name: pods are called NAME-w-INDEX-..., and a label's value has at most 63."""

Method = Literal["Auto", "PeerToPeer", "ObjectStore"]
Backend = Literal["Cpu", "Gpu"]


class Recovery(ApiModel):
    """What is kept so that less must be done again when a worker is lost."""

    retain_shards: bool = Field(
        default=False,
        description="Whether workers keep what they sent on scratch, so that a repair sends again instead of reading "
        "the input again.",
    )


MOST_INPUTS = 64
"""Of a union; files and folders of one kind are `paths` of one input."""


class Spec(ApiModel):
    """What is wanted. Once the job has started only suspend, workers.replicas, activeDeadlineSeconds and
    ttlSecondsAfterFinished can be changed."""

    operation: Operation = Field(description="What is done with the rows: exactly one of its fields.")
    inputs: list[Input] = Field(
        min_length=1,
        max_length=MOST_INPUTS,
        description="What is read: two inputs for a join, one for a rechunk. For any other operation one or several, "
        "whose rows are put together: columns are matched by name, their types unified, rows come input after input.",
    )
    output: Output = Field(description="Where the result goes.")
    workers: Workers | None = Field(default=None, description="Who does the work. Everything has a default.")
    functions: Functions | None = Field(
        default=None, description="Where functions of your own (apply, reader) are found, and the memory they get."
    )
    method: Method = Field(
        default="Auto",
        description="How rows travel: straight from worker to worker, or through object storage. Auto decides from "
        "size, workers and where the input is.",
    )
    backend: Backend = Field(
        default="Cpu",
        description="Gpu: each worker asks for a GPU (nvidia.com/gpu) for functions of your own, which are given "
        "frames of cuDF and tensors on the GPU where their annotations leave that open. Rows are read, moved and "
        "written by the processors either way.",
    )
    recovery: Recovery | None = Field(default=None, description="What workers keep so that losing one costs less.")
    suspend: bool = Field(
        default=False,
        description="True: no workers run until it is false again; then the job begins anew. You or Kueue may set it.",
    )
    backoff_limit: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="Worker failures that are the job's own (bad data, too little memory, a function that raises) "
        "before the job fails.",
    )
    disruption_limit: int = Field(
        default=100,
        ge=0,
        le=100_000,
        description="Evictions, preemptions and lost nodes before the job fails; counted apart from failures.",
    )
    active_deadline_seconds: int | None = Field(
        default=None, ge=1, le=INT32_MAX, description="The longest that the job may run; unlimited where absent."
    )
    startup_deadline_seconds: int = Field(
        default=600,
        ge=1,
        le=INT32_MAX,
        description="The longest that pods may take to start before the job fails and says why.",
    )
    storage_retry_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="The longest that a store may be away or busy before the job fails; meanwhile it waits and says "
        "so. 900 in a cluster where absent; on one machine 90, and 4 for the first answer.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=INT32_MAX,
        description="How long the resource stays after the job finished; for ever where absent.",
    )
    pod_retention: Literal["Never", "OnFailure", "Always"] = Field(
        default="OnFailure", description="Which finished pods are kept for their logs until the resource is deleted."
    )
    managed_by: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="Who runs the job; with another value the operator leaves it alone. Immutable."
    )


class Metadata(StatusModel):
    """The object's metadata, as far as it matters here."""

    model_config = ConfigDict(strict=True)

    name: Annotated[str, Field(max_length=MAX_NAME, pattern=NAME_PATTERN)] = Field(description="The job's name.")
    namespace: str | None = Field(default=None, description="Where it lives; of no meaning to a local run.")
    uid: str | None = Field(default=None, description="Given by the API server.")
    generation: int = Field(default=0, description="Raised by the API server with every change of the spec.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations.")


class ShuffleJob(ApiModel):
    """A shuffle: read, move rows to where they belong, write."""

    api_version: Literal["shuffle-operator.dev/v1alpha1"] = Field(
        default="shuffle-operator.dev/v1alpha1", description="The API's version."
    )
    kind: Literal["ShuffleJob"] = Field(default="ShuffleJob", description="The kind of object.")
    metadata: Metadata = Field(description="Name, labels and so on.")
    spec: Spec = Field(description="What is wanted.")
    status: Status | None = Field(default=None, description="How far it is. Written by the operator only.")

    def manifest(self) -> dict[str, Any]:
        """The job as the API server wants it: what was set, by the API's names."""
        body = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True, exclude={"status"})
        return {"apiVersion": self.api_version, "kind": self.kind} | body

"""The configuration of a Flyte task that is a ShuffleJob: the job's spec, and where it runs.

It is checked when the workflow is defined, as far as it does not depend on inputs, so a mistake is reported by
`pyflyte register` and not by a cluster an hour later. It travels to the connector as the task template's `custom`, a
protobuf Struct, which knows no integers: `from_custom` makes them of whole numbers again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shuffle_operator.api import document as documents
from shuffle_operator.api.problems import InvalidJob, Problem
from shuffle_operator.api.spec import API_VERSION, KIND, ShuffleJob
from shuffle_operator.api.validation import check_job, read_file
from shuffle_operator.flyte import placeholders
from shuffle_operator.flyte.placeholders import Value


@dataclass(frozen=True)
class ShuffleJobConfig:
    """The configuration of a ShuffleJobTask."""

    spec: Mapping[str, Any]
    """As in a job file; `{{ .inputs.NAME }}` stands for an input of the task."""
    namespace: str = ""
    """Where the job is created; "": in the execution's namespace."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    interruptible_workers: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `spec.workers` that are set where the task is `interruptible`: the node selector and the tolerations of
    nodes that may be taken away at any time. The spec's own fields win."""

    def __post_init__(self) -> None:
        self._check(self.spec)
        if self.interruptible_workers:
            self._check(self._spec(interruptible=True))

    def _check(self, spec: Mapping[str, Any]) -> None:
        """Raises InvalidJob where inputs cannot mend it."""
        try:
            check_job(self._body("flyte", spec))
        except InvalidJob as error:
            sure = [p for p in error.problems if not self._open(p)]
            if sure:
                raise InvalidJob(sure, error.source) from None

    @classmethod
    def from_file(cls, path: Path | str, namespace: str = "") -> ShuffleJobConfig:
        """The spec, labels and annotations of a job file, and its namespace where none is given."""
        document = documents.read(read_file(Path(path)))
        body = document.value
        if document.problems or not isinstance(body, Mapping):
            raise InvalidJob(document.problems or [Problem((), "this is no job")], str(path))
        if body.get("kind") != KIND or not isinstance(body.get("spec"), Mapping):
            raise InvalidJob([Problem((), f"expected a {KIND} with a spec")], str(path))
        metadata = body["metadata"] if isinstance(body.get("metadata"), Mapping) else {}
        try:
            return cls(
                spec=body["spec"],
                namespace=namespace or metadata.get("namespace") or "",
                labels=metadata.get("labels") or {},
                annotations=metadata.get("annotations") or {},
            )
        except InvalidJob as error:
            placed = [problem._replace(line=document.line(problem.path)) for problem in error.problems]
            raise InvalidJob(placed, str(path)) from None

    @property
    def inputs(self) -> set[str]:
        """Names of the inputs that the spec uses."""
        return placeholders.names(self.spec)

    def job(self, name: str, values: Mapping[str, Value], *, interruptible: bool = False) -> ShuffleJob:
        """The job for one execution. Raises InvalidJob."""
        return check_job(self._body(name, placeholders.filled_in(self._spec(interruptible), values)))

    def to_custom(self) -> dict[str, Any]:
        body = self._body("", self.spec)
        del body["metadata"]["name"]
        if self.interruptible_workers:
            body["interruptibleWorkers"] = dict(self.interruptible_workers)
        return body | ({"namespace": self.namespace} if self.namespace else {})

    @classmethod
    def from_custom(cls, custom: Mapping[str, Any]) -> ShuffleJobConfig:
        metadata = custom.get("metadata") or {}
        return cls(
            spec=_with_integers(custom["spec"]),
            namespace=custom.get("namespace") or "",
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            interruptible_workers=_with_integers(custom.get("interruptibleWorkers") or {}),
        )

    def _spec(self, interruptible: bool) -> Mapping[str, Any]:
        own = self.spec.get("workers") or {}
        if not interruptible or not self.interruptible_workers or not isinstance(own, Mapping):
            return self.spec  # what is no object is refused as the spec's own
        return {**self.spec, "workers": {**self.interruptible_workers, **own}}

    def _body(self, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": name}
        if self.labels:
            metadata["labels"] = dict(self.labels)
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": dict(spec)}

    def _open(self, problem: Problem) -> bool:
        """Whether the problem may be none once the inputs are there."""
        return problem.path[:1] == ("spec",) and placeholders.depends_on_inputs(self.spec, problem.path[1:])


def _with_integers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

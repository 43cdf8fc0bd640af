"""A job's knobs beside what it does: its name, its workers, its functions, and how it is run. All of them are optional.

Each call gives a new job, with what it names added to what was said before. A value that is None changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import PrivateAttr

from shuffle_local.python.arguments import Calls
from shuffle_local.python.bodies import given, naming, plain, refused
from shuffle_local.python.typed import (
    EnvFields,
    EnvFromFields,
    FunctionSourceFields,
    NameField,
    Quantity,
    ResourcesFields,
    ScratchFields,
    SpreadFields,
    TolerationFields,
)
from shuffle_operator.api import spec
from shuffle_operator.api.functions import Functions
from shuffle_operator.api.validation import check_job
from shuffle_operator.api.workers import Workers


class JobSettings(spec.ShuffleJob):
    """The resource with these calls; `job.ShuffleJob` has the verbs."""

    _calls: Calls = PrivateAttr(default_factory=dict)
    """What made it, for messages."""

    @classmethod
    def _of(cls, job: spec.ShuffleJob, calls: Calls) -> Self:
        """job: checked."""
        made = cls.model_construct(job.model_fields_set, **{name: getattr(job, name) for name in job.model_fields_set})
        made._calls = calls
        return made

    def _rebuilt(self, body: Mapping[str, Any]) -> Self:
        """Another job of the same kind. Raises InvalidJob."""
        with naming(self._calls):
            return self._of(check_job(body), self._calls)

    def _with(self, part: str, fields: Mapping[str, Any]) -> Self:
        """A job with fields of an object of the spec set; "" for the spec itself."""
        body = self.manifest()
        changed = {**body["spec"], **fields} if not part else dict(body["spec"])
        if part:
            changed[part] = {**changed.get(part, {}), **fields}
        return self._rebuilt({**body, "spec": changed})

    def named(
        self,
        name: str | None = None,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Self:
        """The job's name in the cluster, where it lives there, and what it is marked with."""
        fields = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
        body = self.manifest()
        return self._rebuilt({**body, "metadata": {**body["metadata"], **given(spec.Metadata, fields)}})

    def with_workers(  # noqa: PLR0913 - all fields of the workers
        self,
        *,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
        image: str | None = None,
        resources: ResourcesFields | None = None,
        scratch: ScratchFields | None = None,
        env: Mapping[str, str] | Sequence[EnvFields] | None = None,
        env_from: Sequence[EnvFromFields] | None = None,
        image_pull_secrets: Sequence[NameField] | None = None,
        service_account_name: str | None = None,
        node_selector: Mapping[str, str] | None = None,
        tolerations: Sequence[TolerationFields] | None = None,
        affinity: Mapping[str, Any] | None = None,
        topology_spread_constraints: Sequence[SpreadFields] | None = None,
        priority_class_name: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        pod_template: Mapping[str, Any] | None = None,
    ) -> Self:
        """The workers of the cluster. Mappings are in the resource's own words, as in YAML; env may be names and
        values. `run` takes how many there are here, and their memory, from its own arguments first."""
        arguments = dict(locals())
        fields = {name: value for name, value in arguments.items() if name not in ("self", "env")}
        found = given(Workers, fields)
        if env is not None:
            found["env"] = [{"name": n, "value": v} for n, v in env.items()] if isinstance(env, Mapping) else plain(env)
        return self._with("workers", found)

    def with_functions(
        self,
        sources: Sequence[FunctionSourceFields] | None = None,
        *,
        memory: Quantity | None = None,
        timeout_seconds: int | None = None,
    ) -> Self:
        """Where functions of your own are found in a cluster (docs/apply.md), how much of each worker's memory is
        theirs, and how long one call of a map may take. A run on this machine also looks where this process imports
        from."""
        fields = {"sources": sources, "memory": memory, "timeout_seconds": timeout_seconds}
        return self._with("functions", given(Functions, fields))

    def configure(  # noqa: PLR0913 - fields of the spec
        self,
        *,
        method: spec.Method | None = None,
        backend: spec.Backend | None = None,
        retain_shards: bool | None = None,
        suspend: bool | None = None,
        backoff_limit: int | None = None,
        disruption_limit: int | None = None,
        active_deadline_seconds: int | None = None,
        startup_deadline_seconds: int | None = None,
        storage_retry_seconds: int | None = None,
        ttl_seconds_after_finished: int | None = None,
        pod_retention: Literal["Never", "OnFailure", "Always"] | None = None,
        managed_by: str | None = None,
    ) -> Self:
        """How the job is run: each is the field of the spec of its name; retain_shards is that of `recovery`."""
        arguments = dict(locals())
        fields = {name: value for name, value in arguments.items() if name not in ("self", "retain_shards")}
        found = given(spec.Spec, fields)
        if retain_shards is not None:
            found["recovery"] = {"retainShards": retain_shards}
        return self._with("", found)


def memory_bytes(given_memory: Quantity | None, call: str) -> int | None:
    """The bytes of `run(memory="512Mi")`. Raises InvalidJob."""
    from shuffle_operator.api.quantities import BadQuantity, parse_bytes
    from shuffle_operator.api.types import MIB, TIB

    if given_memory is None:
        return None
    try:
        if isinstance(given_memory, bool) or not isinstance(given_memory, str | int | float):
            raise BadQuantity("expected bytes, as a number or as 512Mi")
        return parse_bytes(given_memory, 256 * MIB, 64 * TIB)
    except BadQuantity as error:
        raise refused(call, "memory", f"found {given_memory!r}; {error}") from None


def worker_count(workers: int | None, call: str) -> int | None:
    """Raises InvalidJob."""
    from shuffle_operator.api.workers import MAX_WORKERS

    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int)):
        raise refused(call, "workers", f"found {workers!r}, expected a whole number")
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise refused(call, "workers", f"found {workers:,}, expected 1 to {MAX_WORKERS:,}")
    return workers

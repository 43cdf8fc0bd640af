"""The side of Flyte's connector service: Flyte calls `create` once, or more often if an answer was lost, `get` every
few seconds, and `delete` when the execution is aborted.

A job's name follows from the execution's identity and the attempt, so a call that is repeated finds the job that the
first one made. What is in the way under that name and was not made for this attempt is refused.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from flytekit.extend.backend.base_connector import AsyncConnectorBase, ConnectorRegistry, Resource, ResourceMeta
from flytekit.models.literals import LiteralMap
from flytekit.models.task import TaskExecutionMetadata, TaskTemplate

from shuffle_operator.api.spec import GROUP
from shuffle_operator.client.client import Client
from shuffle_operator.client.once import name_for, submit_once
from shuffle_operator.flyte.config import ShuffleJobConfig
from shuffle_operator.flyte.links import links_of
from shuffle_operator.flyte.phases import gone, resource_of
from shuffle_operator.flyte.values import values_of
from shuffle_operator.kube.api import ApiKube, Kube

TASK_TYPE = "shuffle_job"

EXECUTION = f"{GROUP}/flyte-execution"
"""The annotation that says for which attempt of which execution a job was made."""


@dataclass
class ShuffleJobMetadata(ResourceMeta):  # type: ignore[misc]
    """Which job it is. Flyte keeps it between calls."""

    namespace: str
    name: str
    uid: str


class ShuffleJobConnector(AsyncConnectorBase):  # type: ignore[misc]
    """connect: makes a connection to the cluster, by default as `shuffle submit` does: with the service account inside
    of a cluster, with the kubeconfig outside. One is made for each event loop and kept."""

    name = "ShuffleJob Connector"

    def __init__(self, connect: Callable[[], Awaitable[Kube]] = ApiKube.connect) -> None:
        super().__init__(task_type_name=TASK_TYPE, metadata_type=ShuffleJobMetadata)
        self._connect = connect
        self._kubes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Kube] = weakref.WeakKeyDictionary()

    async def create(
        self,
        task_template: TaskTemplate,
        output_prefix: str,
        inputs: LiteralMap | None = None,
        task_execution_metadata: TaskExecutionMetadata | None = None,
        **kwargs: Any,  # noqa: ARG002 - flytekit adds more over time
    ) -> ShuffleJobMetadata:
        config = ShuffleJobConfig.from_custom(task_template.custom)
        execution = _identity(task_execution_metadata, output_prefix)
        name = name_for(str(task_template.id.name).rpartition(".")[2], execution)
        job = config.job(name, values_of(inputs), interruptible=_interruptible(task_template))
        manifest = job.manifest()
        _complete(manifest, config, task_execution_metadata)
        kube = await self._kube()
        namespace = config.namespace or _namespace(task_execution_metadata) or getattr(kube, "namespace", "default")
        made = await submit_once(Client(kube, namespace), manifest, EXECUTION, execution)
        return ShuffleJobMetadata(namespace=namespace, name=made.name, uid=made.uid)

    async def get(self, resource_meta: ShuffleJobMetadata, **kwargs: Any) -> Resource:  # noqa: ARG002
        client = Client(await self._kube(), resource_meta.namespace)
        job = await client.get(resource_meta.name)
        if job is None or job.uid != resource_meta.uid:
            return gone(resource_meta.namespace, resource_meta.name)
        return resource_of(job, links_of(job))

    async def delete(self, resource_meta: ShuffleJobMetadata, **kwargs: Any) -> None:  # noqa: ARG002
        """What is gone already is as good; another job of the same name is left alone."""
        client = Client(await self._kube(), resource_meta.namespace)
        await client.cancel(resource_meta.name, uid=resource_meta.uid)

    async def _kube(self) -> Kube:
        loop = asyncio.get_running_loop()
        kube = self._kubes.get(loop)
        if kube is None:
            connected = await self._connect()
            kube = self._kubes.setdefault(loop, connected)
            if kube is not connected:  # another call was quicker
                await connected.close()
        return kube

    async def close(self) -> None:
        """Close the connection of the running loop; the next call makes a new one."""
        kube = self._kubes.pop(asyncio.get_running_loop(), None)
        if kube is not None:
            await kube.close()


def register() -> None:
    """Make the connector known to flytekit; again where the package is imported again."""
    ConnectorRegistry.register(ShuffleJobConnector(), override=True)


def _complete(manifest: dict[str, Any], config: ShuffleJobConfig, context: TaskExecutionMetadata | None) -> None:
    """What the execution adds to the job: its labels, its annotations and its service account. The job's own win."""
    metadata, spec = manifest["metadata"], manifest["spec"]
    if context is None:
        return
    for name in ("labels", "annotations"):
        given = getattr(context, name)
        if given:
            metadata[name] = {**given, **metadata.get(name, {})}
    if context.k8s_service_account and config.namespace in ("", context.namespace):
        workers = spec.setdefault("workers", {})
        workers.setdefault("serviceAccountName", context.k8s_service_account)


def _interruptible(template: TaskTemplate) -> bool:
    return bool(template.metadata is not None and template.metadata.interruptible)


def _identity(context: TaskExecutionMetadata | None, output_prefix: str) -> str:
    """The same for every call about one attempt, and for no other."""
    execution = context.task_execution_id if context is not None else None
    if execution is None or not execution.node_execution_id.execution_id.name:
        return output_prefix  # a local execution; flytekit makes a new one for each
    node = execution.node_execution_id
    of = node.execution_id
    return f"{of.project}/{of.domain}/{of.name}/{node.node_id}/{execution.retry_attempt}"


def _namespace(context: TaskExecutionMetadata | None) -> str:
    return str(context.namespace or "") if context is not None else ""

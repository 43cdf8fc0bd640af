"""Executions as Flyte describes them to a connector."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from flytekit import TaskMetadata
from flytekit.configuration import ImageConfig, SerializationSettings
from flytekit.models.core.identifier import (
    Identifier,
    NodeExecutionIdentifier,
    ResourceType,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from flytekit.models.literals import Literal, LiteralMap, Primitive, Scalar
from flytekit.models.task import TaskExecutionMetadata, TaskTemplate
from flytekit.tools.translator import get_serializable

from shuffle_operator.flyte import ShuffleJobConfig, ShuffleJobTask

SPEC: dict[str, Any] = {
    "operation": {"repartition": {"by": ["user_id"]}},
    "inputs": [{"path": "s3://bucket/events/"}],
    "output": {"path": "s3://bucket/out/", "partitions": 8},
}


def template(
    spec: dict[str, Any] = SPEC, name: str = "flows.daily.by-user", interruptible: bool | None = None, **config: Any
) -> TaskTemplate:
    """As it is registered: with everything that protobuf does to it."""
    metadata = TaskMetadata(interruptible=interruptible)
    inputs = dict.fromkeys(ShuffleJobConfig(spec).inputs, str)
    task = ShuffleJobTask(name=name, task_config=ShuffleJobConfig(spec, **config), inputs=inputs, metadata=metadata)
    settings = SerializationSettings(ImageConfig(), project="shop", domain="production", version="1")
    made = get_serializable(OrderedDict(), settings, task).template
    return TaskTemplate.from_flyte_idl(made.to_flyte_idl())


def context(
    execution: str = "f7a1",
    attempt: int = 0,
    namespace: str = "shop-production",
    account: str = "",
    annotations: dict[str, str] | None = None,
) -> TaskExecutionMetadata:
    return TaskExecutionMetadata(
        TaskExecutionIdentifier(
            Identifier(ResourceType.TASK, "shop", "production", "flows.daily.by-user", "1"),
            NodeExecutionIdentifier("n0", WorkflowExecutionIdentifier("shop", "production", execution)),
            attempt,
        ),
        namespace,
        {"execution-id": execution, "project": "shop"},
        annotations or {},
        account,
        {},
        None,
    )


def texts(**values: str) -> LiteralMap:
    return LiteralMap(
        {name: Literal(scalar=Scalar(primitive=Primitive(string_value=value))) for name, value in values.items()}
    )

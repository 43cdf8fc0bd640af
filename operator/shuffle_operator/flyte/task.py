"""A task for workflows: `ShuffleJobTask(name=..., task_config=ShuffleJobConfig(spec))`.

Registered with a Flyte cluster it is carried out by the connector. Run locally (by calling it, or with `pyflyte run`)
it runs the same job on this machine with the real engine, or, with `local="Cluster"`, in the cluster of the kubeconfig.
"""

from __future__ import annotations

from typing import Any, Literal

from flytekit import FlyteContext
from flytekit.configuration import SerializationSettings
from flytekit.core.base_task import PythonTask
from flytekit.core.interface import Interface
from flytekit.core.type_engine import TypeEngine
from flytekit.exceptions.user import FlyteUserException
from flytekit.extend.backend.base_connector import AsyncConnectorExecutorMixin, local_connector_loop
from flytekit.models.literals import LiteralMap
from flytekit.types.structured.structured_dataset import StructuredDataset

from shuffle_operator.api.problems import InvalidJob, Problem
from shuffle_operator.flyte.config import ShuffleJobConfig
from shuffle_operator.flyte.connector import TASK_TYPE
from shuffle_operator.flyte.values import OUTPUT, outputs_of, values_of


class ShuffleJobTask(AsyncConnectorExecutorMixin, PythonTask[ShuffleJobConfig]):  # type: ignore[misc]
    """inputs: the task's inputs by name, with their types; those that the spec names must be among them. Its one
    output, `output`, is a StructuredDataset of Parquet files at the job's output path. Raises InvalidJob."""

    _TASK_TYPE = TASK_TYPE

    def __init__(
        self,
        name: str,
        task_config: ShuffleJobConfig,
        inputs: dict[str, type] | None = None,
        local: Literal["Engine", "Cluster"] = "Engine",
        **kwargs: Any,
    ) -> None:
        unknown = sorted(task_config.inputs - set(inputs or {}))
        if unknown:
            text = f"the spec uses {', '.join(unknown)}, which the task has not as inputs; name them with their types"
            raise InvalidJob([Problem((), text)], f"task {name}")
        self._local = local
        super().__init__(
            task_type=self._TASK_TYPE,
            name=name,
            task_config=task_config,
            interface=Interface(inputs=inputs or {}, outputs={OUTPUT: StructuredDataset}),
            **kwargs,
        )

    def get_custom(self, settings: SerializationSettings) -> dict[str, Any]:  # noqa: ARG002
        config: ShuffleJobConfig = self.task_config
        return config.to_custom()

    def execute(self, **kwargs: Any) -> LiteralMap:
        """A local execution; Flyte itself never calls it."""
        if self._local == "Cluster":
            try:
                return super().execute(**kwargs)
            finally:
                local_connector_loop.run_until_complete(self._connector.close())
        from shuffle_operator.flyte.local import run_here

        context = FlyteContext.current_context()
        literals = TypeEngine.dict_to_literal_map(context, kwargs, self.get_input_types())
        end = run_here(self.task_config, values_of(literals))
        if end.cause:
            raise FlyteUserException(f"task {self.name}: {end.reason}: {end.cause}")
        return outputs_of(end.output)

"""What the tests of the resource start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.api.api_server import ApiServer


@pytest.fixture(scope="session")
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    """A good job as plain data, with fields of its spec replaced, or left out where they are None."""

    def build(name: str = "events", **spec: Any) -> dict[str, Any]:
        body = {
            "operation": {"repartition": {"by": ["user_id"]}},
            "inputs": [{"path": "s3://bucket/events/"}],
            "output": {"path": "s3://bucket/by-user/"},
        } | spec
        return {
            "apiVersion": "shuffle-operator.dev/v1alpha1",
            "kind": "ShuffleJob",
            "metadata": {"name": name},
            "spec": {key: value for key, value in body.items() if value is not None},
        }

    return build

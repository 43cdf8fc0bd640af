"""Follows a job in Airflow's triggerer, where many tasks wait in one event loop."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from shuffle_operator.airflow.outcome import GONE, UNREACHABLE, outcome_of
from shuffle_operator.client.client import Client
from shuffle_operator.kube.api import KubeError

PATIENCE = 600.0
"""Seconds for which the API server may be away before the task fails; the job goes on meanwhile."""


class ShuffleJobTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires once: when the job is finished or gone, or the API server was away for PATIENCE seconds."""

    def __init__(self, namespace: str, name: str, uid: str, kube_context: str | None, poll_seconds: float) -> None:
        super().__init__()
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.kube_context = kube_context
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        fields = ("namespace", "name", "uid", "kube_context", "poll_seconds")
        return f"{__name__}.{type(self).__name__}", {field: getattr(self, field) for field in fields}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        which = {"namespace": self.namespace, "name": self.name, "uid": self.uid}
        yield TriggerEvent({**await self.outcome(), "job": which})

    async def outcome(self) -> dict[str, Any]:
        """What became of the job, as `outcome.py` has it."""
        # The client takes a second to import, for which no other task's trigger should stand still.
        await asyncio.to_thread(importlib.import_module, "kubernetes.aio.client")
        heard = time.monotonic()
        while True:
            try:
                async with await Client.connect(self.namespace, self.kube_context) as client:
                    while True:
                        job = await client.get(self.name)
                        heard = time.monotonic()
                        if job is None or job.uid != self.uid:
                            return {"kind": GONE}
                        if job.finished:
                            return outcome_of(job)
                        await asyncio.sleep(self.poll_seconds)
            except KubeError as error:
                if time.monotonic() - heard > PATIENCE:
                    return {"kind": UNREACHABLE, "message": error.message}
                self.log.warning("ShuffleJob %s/%s: %s", self.namespace, self.name, error.message)
            await asyncio.sleep(self.poll_seconds)

    async def on_kill(self) -> None:
        """Somebody has marked or cleared the task while it waited (Airflow 3.3 says so): the job is deleted."""
        async with await Client.connect(self.namespace, self.kube_context) as client:
            await client.cancel(self.name, uid=self.uid)

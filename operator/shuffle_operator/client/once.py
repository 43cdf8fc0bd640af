"""One job for one piece of somebody else's work, however often it is asked for: a task of a workflow, say.

The job's name follows from what the work is called, and an annotation says for which work it was made. So a call that
is repeated finds the job that the first one made, and what is in the way under that name is not taken for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from typing import Any

from shuffle_operator.api.spec import MAX_NAME
from shuffle_operator.client.client import Client
from shuffle_operator.client.job import SubmittedJob
from shuffle_operator.kube.api import KubeError

TTL = 86_400
"""Seconds that a finished job stays in the cluster where its spec does not say; nobody else would remove it."""

TRIES = 6
"""Of creating a job while one of its name is being deleted, half a second apart."""


def name_for(readable: str, work: str) -> str:
    """What a person recognises, and a digest that tells pieces of work apart."""
    words = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")
    start = re.sub(r"^[^a-z]+", "", words) or "job"
    digest = hashlib.sha256(work.encode()).hexdigest()[:16]
    return f"{start[: MAX_NAME - len(digest) - 1].rstrip('-')}-{digest}"


async def submit_once(
    client: Client,
    manifest: dict[str, Any],
    annotation: str,
    work: str,
    replaced: Callable[[SubmittedJob], bool] = lambda job: False,  # noqa: ARG005
) -> SubmittedJob:
    """The job that there is for this work, or a new one. replaced: whether the one that is there is deleted first.

    Raises KubeError (AlreadyExists) where a job of this name was made for something else, InvalidJob."""
    metadata = manifest["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), annotation: work}
    manifest["spec"].setdefault("ttlSecondsAfterFinished", TTL)
    for attempt in range(1, TRIES + 1):
        try:
            return await client.submit(manifest)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
            there = await client.get(metadata["name"])
            if there is not None:
                if there.annotations.get(annotation) != work:
                    place = f"ShuffleJob {client.namespace}/{there.name}"
                    text = f"{place} is there already and was not made for {work}"
                    raise KubeError(409, "AlreadyExists", text) from error
                if "deletionTimestamp" not in there.body["metadata"]:
                    if not replaced(there):
                        return there
                    await client.cancel(there.name, uid=there.uid)
            if attempt == TRIES:
                raise
        await asyncio.sleep(0.5)
    raise AssertionError("the last try returns or raises")

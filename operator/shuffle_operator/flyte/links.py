"""Links that Flyte's console shows beside a task: to the logs of its job and to its page.

Only whoever runs the cluster knows where these are, so the connector's environment says it, with `{namespace}`,
`{name}` and `{uid}` of the job in the places where they go.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote

from flyteidl.core.execution_pb2 import TaskLog

from shuffle_operator.client.job import SubmittedJob

LINKS = {"SHUFFLE_FLYTE_LOGS": "Logs of the workers", "SHUFFLE_FLYTE_DASHBOARD": "Page of the job"}
"""Variable to the link's name; a variable that is not set gives no link."""


def links_of(job: SubmittedJob, environment: Mapping[str, str] = os.environ) -> list[TaskLog]:
    """What a job's name is made of is escaped; anything else in braces stays as it is."""
    values = {"{namespace}": job.namespace, "{name}": job.name, "{uid}": job.uid}
    found = []
    for variable, name in LINKS.items():
        address = environment.get(variable, "")
        for place, value in values.items():
            address = address.replace(place, quote(value, safe=""))
        if address:
            found.append(TaskLog(uri=address, name=name, message_format=TaskLog.UNKNOWN))
    return found

"""ShuffleJobs as tasks of Flyte (flytekit 1.x, the extra `flyte`).

    ShuffleJobTask    in a workflow's code: a task whose configuration is a job's spec; run locally, it is `shuffle run`
    ShuffleJobConfig  that configuration
    ShuffleJobConnector  in Flyte's connector service: creates the ShuffleJob, follows it, deletes it

flytekit imports this package by its entry point `flytekit.plugins` whenever it is imported itself, so it must stay
quick to import: no Kubernetes client, no engine, before there is a job for them.
"""

from shuffle_operator.flyte.config import ShuffleJobConfig
from shuffle_operator.flyte.connector import ShuffleJobConnector, ShuffleJobMetadata, register
from shuffle_operator.flyte.task import ShuffleJobTask

__all__ = ["ShuffleJobConfig", "ShuffleJobConnector", "ShuffleJobMetadata", "ShuffleJobTask"]

register()

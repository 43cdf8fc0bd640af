"""ShuffleJobs from Python: submit, look, wait, cancel, logs.

    from shuffle_operator.client import Client  # async
    from shuffle_operator.client.sync import Client  # the same, for code without an event loop

The command line, Flyte's connector and everyone else use this.
"""

from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.client.client import Client
from shuffle_operator.client.job import JobFailed, SubmittedJob

__all__ = ["Client", "JobFailed", "ShuffleJob", "SubmittedJob"]

"""Whether it helps to run a job again that failed, by its reason; for those who run jobs on others' behalf.

What another attempt may mend is retryable: the cluster took too much away or was too slow, storage did not answer, or
the fault was the operator's. What is wrong with the job or its data is not: it would be wrong again. Every reason is in
one of the two; a test holds them to the API's.
"""

from __future__ import annotations

RETRYABLE = frozenset(
    {"DeadlineExceeded", "DisruptionLimitExceeded", "Internal", "StartupDeadlineExceeded", "StorageUnavailable"}
)

FINAL = frozenset(
    {
        "AccessDenied",
        "BackoffLimitExceeded",
        "DataError",
        "InputNotFound",
        "InvalidSpec",
        "OutOfDisk",
        "OutOfMemory",
        "OutputExists",
        "UserFunctionFailed",
    }
)

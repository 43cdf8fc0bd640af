"""How many workers a job gets where the user left that open: `minReplicas` and `maxReplicas`. One rule.

A job begins with the usual number, brought between the two. When the plan is there, and with it the size of the rows,
it grows until all shards fit in the workers' memory, so that nothing need be spilled, but to no more than the most. It
does not shrink by itself: what workers hold is needed until the end.
"""

from __future__ import annotations

import math

from shuffle_protocol.jobs import Job
from shuffle_protocol.memory import Budgets
from shuffle_protocol.messages import PlanSummary

FILLED = 0.9
"""Of the stores together, as the estimate of what will be spilled has it."""


def workers_for(job: Job, summary: PlanSummary) -> int:
    """The number to go on with once the plan is there: of whole pods. summary: made for `job.workers` workers."""
    if job.most_workers <= job.workers or not summary.scratch_needed:
        return job.workers
    each = FILLED * Budgets.for_limit(job.memory).for_job(summary.reading, summary.writing).store
    held = each * min(job.workers, max(len(summary.group_partitions), 1))  # a group has one owner
    rows = held + summary.scratch_needed / 1.1
    pods = math.ceil(rows / each / job.workers_per_pod)
    return min(job.most_workers, max(job.workers, pods * job.workers_per_pod))

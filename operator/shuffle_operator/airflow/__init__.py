"""ShuffleJobs as tasks of Airflow (Airflow 3, the extra `airflow`).

    ShuffleJobOperator  in a DAG: creates the job, waits for it without holding a worker's slot, returns what it wrote
    ShuffleJobTrigger   in the triggerer: follows the job; cancels it where somebody ends a task that waits

One run of a task has one job, however often it is tried: the job's name follows from the DAG, the task and the run.
"""

from shuffle_operator.airflow.operator import ShuffleJobOperator
from shuffle_operator.airflow.trigger import ShuffleJobTrigger

__all__ = ["ShuffleJobOperator", "ShuffleJobTrigger"]

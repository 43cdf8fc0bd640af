"""A workflow with a shuffle in it: events of a day, sorted by time, then counted by a task of one's own.

pyflyte run examples/flyte/daily_events.py daily --source demo/events/ --target demo/flyte/ --files 4
"""

import pyarrow as pa
from flytekit import task, workflow
from flytekit.types.structured.structured_dataset import StructuredDataset

from shuffle_operator.flyte import ShuffleJobConfig, ShuffleJobTask

sort_events = ShuffleJobTask(
    name="sort-events",
    inputs={"source": str, "target": str, "files": int},
    task_config=ShuffleJobConfig(
        spec={
            "operation": {"sort": {"by": [{"column": "ts"}, {"column": "event_id"}]}},
            "inputs": [{"path": "{{ .inputs.source }}"}],
            "output": {
                "path": "{{ .inputs.target }}",
                "partitions": "{{ .inputs.files }}",
                "onExisting": "Overwrite",
            },
            "workers": {"replicas": 4, "resources": {"limits": {"memory": "2Gi"}}},
        },
    ),
)


@task
def count(events: StructuredDataset) -> int:
    table: pa.Table = events.open(pa.Table).all()
    return table.num_rows


@workflow
def daily(source: str, target: str, files: int = 4) -> int:
    return count(events=sort_events(source=source, target=target, files=files).output)

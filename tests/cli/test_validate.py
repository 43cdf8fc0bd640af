"""`shuffle validate` tells every problem of a file, to people and to programs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.jobs import JOB


def job(operation: str = "repartition: {by: [id]}", output: str = "path: data/out") -> str:
    text = JOB.replace("path: in.csv", "path: data/in").replace("path: out", output)
    return text.replace("repartition: {}", operation)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (job(), "repartition by id, from data/in to files of 256Mi in data/out"),
        (job("repartition: {}", "path: o, partitions: 2000"), "repartition evenly, from data/in to 2,000 files in o"),
        (job("repartition: {range: [a, b]}"), "repartition by ranges of a, b, from"),
        (
            job("sort: {by: [{column: a}, {column: b}]}", "path: o, targetPartitionSize: 1Gi"),
            "sort by a, b, from data/in",
        ),
        (job().replace("path: data/in", "paths: [a, b, c]"), "from a and 2 more to"),
        (job("repartition: {random: {seed: 7}}"), "random order of seed 7, from"),
        (job("cluster: {by: [a, b]}"), "cluster by a, b, from"),
        (job("distinct: {}"), "distinct rows, from"),
        (job("distinct: {by: [a], orderBy: [{column: t}]}"), "distinct by a (the first row of each by t), from"),
        (job("distinct: {by: [a], keep: Last, rows: 3}"), "distinct by a (the last 3 rows of each), from"),
    ],
)
def test_a_valid_job_is_described(shuffle: Any, text: str, said: str) -> None:
    Path("job.yaml").write_text(text)
    outcome = shuffle("validate", "job.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("job.yaml is valid: ")
    assert said in outcome.out


def test_a_valid_job_as_json(shuffle: Any) -> None:
    Path("job.yaml").write_text(job())
    outcome = shuffle("validate", "--json", "job.yaml")
    assert outcome.code == 0
    assert json.loads(outcome.out) == {"valid": True, "file": "job.yaml", "name": "events", "problems": []}


def test_a_job_is_read_from_standard_input(shuffle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(job().encode())))
    assert shuffle("validate", "-").code == 0


def test_an_invalid_job_is_told_to_people(shuffle: Any) -> None:
    Path("job.yaml").write_text(job("sort: {by: [id]}", 'path: data/in, partitions: "3"'))
    outcome = shuffle("validate", "job.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "InvalidSpec: job.yaml: 3 problems\n"
        '  line 5: spec.operation.sort.by[0]: found "id", expected a mapping; write {column: id}\n'
        '  line 7: spec.output.partitions: found "3", a string, expected a whole number from 1 to 1,000,000; write 3, '
        "without quotes\n"
        '  line 7: spec.output.path: the output "data/in" is the input "data/in"; write somewhere else\n'
    )


def test_an_invalid_job_is_told_to_programs(shuffle: Any) -> None:
    Path("job.yaml").write_text(job(output="path: o, partitions: 0"))
    outcome = shuffle("validate", "--json", "job.yaml")
    assert outcome.code == 2
    assert json.loads(outcome.out) == {
        "valid": False,
        "file": "job.yaml",
        "problems": [
            {
                "path": "spec.output.partitions",
                "line": 7,
                "message": "found 0, expected a whole number from 1 to 1,000,000",
            }
        ],
    }


def test_a_gpu_without_a_function_is_told_with_its_line(shuffle: Any) -> None:
    text = job()
    Path("job.yaml").write_text(text.rstrip("\n") + "\n  backend: Gpu\n")
    outcome = shuffle("validate", "job.yaml")
    assert outcome.code == 2
    line = text.rstrip("\n").count("\n") + 2
    assert outcome.err == (
        f"InvalidSpec: job.yaml: line {line}: spec.backend: Gpu is for functions of your own (map, apply, reader), and "
        "this job has none; leave it out\n"
    )


def test_a_job_for_a_cluster_is_valid(shuffle: Any) -> None:
    Path("job.yaml").write_text(job().replace("path: data/in", "path: s3://b/in, storage: {secretRef: {name: s3}}"))
    assert shuffle("validate", "job.yaml").code == 0

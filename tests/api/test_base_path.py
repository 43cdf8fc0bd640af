"""`inputs[].basePath`: told by `validate` where a path is not below it, whatever way either is spelled."""

from __future__ import annotations

import pytest

from shuffle_operator.api.paths import below
from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.resolve import resolve
from shuffle_operator.api.validation import load_job

JOB = """apiVersion: shuffle-operator.dev/v1alpha1
kind: ShuffleJob
metadata: {name: test}
spec:
  operation: {repartition: {by: [x]}}
  inputs:
    - {path: hive/dt=1/, basePath: BASE}
  output: {path: out}
"""


@pytest.mark.parametrize(
    ("path", "base", "is_below"),
    [
        ("hive/dt=1", "hive", True),
        ("hive", "hive/", True),
        ("hive/dt=*/h=1", "hive", True),
        ("hive/*", "hive/dt=1", False),
        ("hive", "hive/dt=1", False),
        ("hive2", "hive", False),
        ("s3a://b/t/dt=1", "s3://b/t", True),
        ("s3://b/t", "s3://b/u", False),
        ("s3://b/t", "/b", False),
        ("abfss://c@a.dfs.core.windows.net/t/k=1", "az://c/t", True),
        ("file:///a/b", "/a", True),
        ("a/../b/c", "b", True),
        ("/a/b", "a", True),  # only the plan can tell
    ],
)
def test_below(path: str, base: str, is_below: bool) -> None:
    assert below(path, base) is is_below


def test_it_is_told_with_its_line() -> None:
    with pytest.raises(InvalidJob) as said:
        load_job(JOB.replace("BASE", "other"))
    [problem] = said.value.problems
    assert (problem.path, problem.line) == (("spec", "inputs", 0, "basePath"), 7)
    assert 'the path "hive/dt=1/" is not below it' in problem.message


def test_workers_are_told() -> None:
    job = resolve(load_job(JOB.replace("BASE", "hive")), uid="u", workers=1, memory=1 << 29)
    assert job.inputs[0].base_path == "hive"

"""Whatever a file or a resource holds, it is loaded or refused: nothing else ever comes out of the validation."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_operator.api import fields
from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.validation import check_job, load_job

FULL: dict[str, Any] = {
    "apiVersion": "shuffle-operator.dev/v1alpha1",
    "kind": "ShuffleJob",
    "metadata": {"name": "full", "labels": {"a": "b"}},
    "spec": {
        "operation": {
            "repartition": {"by": ["a"], "random": {"seed": 7}},
            "sort": {"by": [{"column": "a", "order": "Descending"}]},
            "join": {"left": "x", "right": "y", "leftOn": ["a"], "rightOn": ["b"], "asOf": {"left": "t"}},
            "groupBy": {"by": ["a"], "aggregations": [{"function": "sum", "column": "b", "as": "c"}]},
            "distinct": {"by": ["a"], "orderBy": [{"column": "b", "nulls": "First"}], "rows": 2},
            "cluster": {"by": ["a", "b"], "curve": "ZOrder"},
            "window": {"by": ["a"], "orderBy": [{"column": "b"}], "compute": {"c": "row_number()"}},
            "rechunk": {
                "chunks": {"time": 1},
                "apply": "a:b",
                "overlap": {"depth": {"x": 1}, "boundary": 0, "boundaries": {"x": "Reflect"}, "trim": True},
            },
        },
        "inputs": [
            {
                "name": "x",
                "path": "in/*.parquet",
                "columns": ["a"],
                "map": "m:f",
                "storage": {"secretRef": {"name": "s"}},
            }
        ],
        "output": {"path": "out", "partitions": 3, "targetPartitionSize": "1Gi", "sortWithin": ["a"]},
        "workers": {
            "replicas": 3,
            "resources": {"limits": {"memory": "1Gi", "cpu": 2}},
            "scratch": {"sizeLimit": "1Gi"},
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "tolerations": [{"key": "a"}],
        },
        "backoffLimit": 3,
    },
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


@st.composite
def spoiled_jobs(draw: st.DrawFn) -> Any:
    """A job with everything in it, some of it replaced by something else."""
    job: Any = {"": copy.deepcopy(FULL)}
    for path in draw(st.lists(st.sampled_from(places(FULL)), min_size=1, max_size=3)):
        node = job
        steps = ("", *path)
        try:
            for step in steps[:-1]:
                node = node[step]
            node[steps[-1]] = draw(anything)
        except (KeyError, IndexError, TypeError):
            continue
    return job[""]


@given(spoiled_jobs())
@settings(max_examples=150)
def test_a_spoiled_job_is_refused_with_problems_that_can_be_shown(job: Any) -> None:
    try:
        check_job(job)
    except InvalidJob as error:
        assert error.problems
        json.dumps([str(problem) for problem in error.problems]).encode()


@given(spoiled_jobs())
@settings(max_examples=60)
def test_a_spoiled_file_too_and_its_problems_have_lines(job: Any) -> None:
    text = yaml.safe_dump(job)
    try:
        load_job(text + "\n")
    except InvalidJob as error:
        lines = text.count("\n") + 1
        assert all(problem.line is None or 1 <= problem.line <= lines for problem in error.problems)


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t0.<y~é\u2028"), max_size=60))
@settings(max_examples=150)
def test_any_text_is_refused(text: str) -> None:
    try:
        load_job(text + "\n#\n")
    except InvalidJob as error:
        assert error.problems
    else:
        raise AssertionError("this was taken for a job")


def test_a_misspelt_field_anywhere_is_told_its_right_name() -> None:
    for path in places(FULL):
        field = path[-1] if path else 0
        if not isinstance(field, str) or len(field) < 4 or path[0] != "spec" or "chunks" in path or field == "spec":
            continue
        job = copy.deepcopy(FULL)
        node: Any = job
        for step in path[:-1]:
            node = node[step]
        wrong = field[:-2] + field[-1] + field[-2]
        if wrong == field:
            continue
        node[wrong] = node.pop(field)
        try:
            check_job(job)
        except InvalidJob as error:
            said = {problem.path: problem.message for problem in error.problems}
            assert said[(*path[:-1], wrong)] == f"there is no such field; did you mean `{field}`?"
            assert fields.field_at(path) is not None
        else:
            raise AssertionError(path)

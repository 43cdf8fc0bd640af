"""A value of each kind that YAML knows, in every field of the resource: a job comes out, or problems that are named,
and never anything else. And every option of every field that has some, in other spellings."""

from __future__ import annotations

import copy
import itertools
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from shuffle_operator.api import fields
from shuffle_operator.api.problems import InvalidJob, Path, path_text
from shuffle_operator.api.resolve import resolve, unsupported
from shuffle_operator.api.spec import Spec
from shuffle_operator.api.synonyms import meant
from shuffle_operator.api.validation import check_job, load_job

GOOD: dict[str, Any] = {
    "apiVersion": "shuffle-operator.dev/v1alpha1",
    "kind": "ShuffleJob",
    "metadata": {"name": "events"},
    "spec": {"operation": {"repartition": {}}, "inputs": [{"path": "in"}], "output": {"path": "out"}},
}

VALUES = {
    "nothing": "", "tilde": "~", "true": "true", "yes": "yes", "zero": "0", "minus": "-1", "number": "7",
    "huge": "9" * 60, "octal": "0o17", "float": "1.5", "exponent": "1e400", "nan": ".nan", "infinite": "-.inf",
    "empty": '""', "word": "word", "words": "two words", "wrong case": "zSTD", "date": "2026-01-31", "time": "12:30:45",
    "control": '"a\\tb\\0c"', "unicode": '"\\u202ename\\U0001f600"', "long": "x" * 5000, "quantity": "1Gi",
    "list": "[]", "list of words": "[a, b]", "list of all": "[1, null, {a: b}, [c]]", "mapping": "{}",
    "other mapping": "{a: 1}", "keys": "{1: a, null: b, true: c}", "deep": "[[[[[[[[[[{a: [b]}]]]]]]]]]]",
    "anchor": "&x [a, b]", "tag": "!!binary aGVsbG8=", "template": "{{ .Values.x }}", "comma": "a, b",
}  # fmt: skip


def places(model: type[BaseModel], path: Path = ("spec",)) -> Iterator[Path]:
    """The paths of all fields; 0 stands for the first of a list."""
    for name, field in fields.by_name(model).items():
        here = (*path, name)
        yield here
        inner = fields.inner_model(field.annotation)
        if fields.is_list(field.annotation):
            yield (*here, 0)
            here = (*here, 0)
        if inner is not None:
            yield from places(inner, here)


PLACES = [("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "labels"), ("spec",)]
PLACES += list(places(Spec))


def with_value(path: Path, value: object) -> dict[str, Any]:
    """The good job with a value at a path, made where it leads to nothing yet."""
    job: Any = copy.deepcopy(GOOD)
    node = job
    for step, after in itertools.pairwise(path):
        empty: Any = [{}] if after == 0 else {}
        if isinstance(step, int):
            while len(node) <= step:
                node.append(empty)
        elif step not in node:
            node[step] = empty
        node = node[step]
    if isinstance(path[-1], int):
        node[:] = [value]
    else:
        node[path[-1]] = value
    return typing.cast("dict[str, Any]", job)


def as_yaml(value: Any, text: str, mark: str = "@@") -> str:
    import json

    return json.dumps(value).replace(f'"{mark}"', text)


@pytest.mark.parametrize("path", PLACES, ids=path_text)
def test_any_kind_of_value_gives_a_job_or_named_problems(path: Path) -> None:
    document = as_yaml(with_value(path, "@@"), "VALUE")
    for kind, text in VALUES.items():
        try:
            job = load_job(document.replace("VALUE", text) + "\n#\n")
        except InvalidJob as error:
            assert error.problems, kind
            for problem in error.problems:
                said = str(problem)
                assert said.isprintable(), (kind, said)
                assert len(said) < 1000, (kind, said)
                assert "Input should" not in said, (kind, said)
                assert "alue error" not in said, (kind, said)
            continue
        try:
            problems = unsupported(job, local=True)
            if not problems:
                resolve(job, uid="u", workers=2, memory=1 << 30)
        except InvalidJob as error:
            assert error.problems, kind


def options() -> Iterator[tuple[Path, list[str]]]:
    for path in places(Spec):
        field = fields.field_at(path)
        assert field is not None
        found = [
            option
            for argument in (field.annotation, *typing.get_args(field.annotation))
            if typing.get_origin(argument) is typing.Literal
            for option in typing.get_args(argument)
        ]
        if found and path[-1] != 0:
            yield path, found


OPTIONS = list(options())


def test_there_are_options() -> None:
    names = {path[-1] for path, _ in OPTIONS}
    assert {"format", "compression", "order", "nulls", "type", "function", "onExisting", "method", "medium"} <= names


@pytest.mark.parametrize(("path", "found"), OPTIONS, ids=[path_text(path) for path, _ in OPTIONS])
def test_another_spelling_of_an_option_is_corrected(path: Path, found: list[str]) -> None:
    for option in found:
        for wrong in {option.lower(), option.upper(), option.swapcase(), f" {option}", option + "_"} - set(found):
            with pytest.raises(InvalidJob) as caught:
                check_job(with_value(path, wrong))
            said = {problem.path: problem.message for problem in caught.value.problems}[path]
            assert f'found "{wrong}"' in said
            assert said.endswith(f"did you mean {option}?") or len(found) == 1, said


@pytest.mark.parametrize(
    ("word", "options", "option"),
    [
        ("asc", ["Ascending", "Descending"], "Ascending"),
        ("desc", ["Ascending", "Descending"], "Descending"),
        ("gz", ["Zstd", "Snappy", "Gzip", "None"], "Gzip"),
        ("uncompressed", ["Zstd", "Gzip", "None"], "None"),
        ("jsonl", ["Parquet", "CSV", "JSON"], "JSON"),
        ("arrow", ["Parquet", "Feather", "ORC"], "Feather"),
        ("left outer", ["Inner", "Left", "Right", "Full"], "Left"),
        ("outer", ["Inner", "Left", "Right", "Full"], "Full"),
        ("anti", ["Inner", "LeftSemi", "LeftAnti"], "LeftAnti"),
        ("replace", ["Fail", "Overwrite"], "Overwrite"),
        ("avg", ["sum", "mean", "max"], "mean"),
        ("nunique", ["count", "countDistinct"], "countDistinct"),
        ("count_distinct", ["count", "countDistinct"], "countDistinct"),
        ("array_agg", ["list", "any"], "list"),
        ("cartesian product", ["Inner", "Cross", "AsOf"], "Cross"),
        ("right exists", ["Inner", "RightSemi", "RightAnti"], "RightSemi"),
        ("asof join", ["Inner", "Left", "AsOf"], "AsOf"),
        ("previous", ["Backward", "Forward", "Nearest"], "Backward"),
        ("z-order", ["Hilbert", "ZOrder"], "ZOrder"),
        ("morton", ["Hilbert", "ZOrder"], "ZOrder"),
        ("xyzzy", ["sum", "mean"], None),
    ],
)
def test_words_of_other_systems(word: str, options: list[str], option: str | None) -> None:
    assert meant(word, options) == option


def test_everything_is_told_at_once_whatever_the_version_says() -> None:
    job = with_value(("spec", "output", "compression"), "zstd") | {"apiVersion": "v1"}
    del job["kind"]
    with pytest.raises(InvalidJob) as caught:
        check_job(job | {"knid": "ShuffleJob"})
    assert [problem.path for problem in caught.value.problems] == [
        ("apiVersion",), (), ("spec", "output", "compression"),
    ]  # fmt: skip


def test_another_kind_of_object_is_told_alone() -> None:
    other = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": {"replicas": 3, "template": {}}}
    with pytest.raises(InvalidJob) as caught:
        check_job(other)
    assert [problem.path for problem in caught.value.problems] == [("apiVersion",), ("kind",)]

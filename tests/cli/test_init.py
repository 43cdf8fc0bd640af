"""`shuffle init` writes a job file that is valid, says what was asked, and never harms another file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shuffle_local.cli.init import job_name, word
from shuffle_operator.api.document import read
from shuffle_operator.api.spec import MAX_NAME, NAME_PATTERN
from shuffle_operator.api.validation import load_job


def test_the_file_says_what_was_asked(shuffle: Any) -> None:
    options = ["--input", "s3://b/events/*.parquet", "--output", "out: 1", "--by", "user_id", "--by", "no", "-p", "8"]
    outcome = shuffle("init", "My_events.yaml", *options)
    assert (outcome.code, outcome.out) == (0, "")
    assert "shuffle run My_events.yaml" in outcome.err
    job = load_job(Path("My_events.yaml"))
    assert job.metadata.name == "my-events"
    assert job.spec.operation.repartition is not None
    assert job.spec.operation.repartition.by == ["user_id", "no"]
    assert job.spec.inputs[0].path == "s3://b/events/*.parquet"
    assert (job.spec.output.path, job.spec.output.partitions) == ("out: 1", 8)


def test_a_sort(shuffle: Any) -> None:
    assert shuffle("init", "--sort", "ts", "--sort", "id").code == 0
    sort = load_job(Path("job.yaml")).spec.operation.sort
    assert sort is not None
    assert [key.column for key in sort.by] == ["ts", "id"]


def test_without_options_it_is_valid_too(shuffle: Any) -> None:
    assert shuffle("init").code == 0
    assert shuffle("validate", "job.yaml").code == 0


def test_it_goes_to_standard_output(shuffle: Any) -> None:
    outcome = shuffle("init", "-", "--by", "a")
    assert load_job(outcome.out).metadata.name == "job"
    assert list(Path().iterdir()) == []


def test_two_inputs_are_joined_or_put_together(shuffle: Any) -> None:
    two = ["--input", "s3://b/events/*.parquet", "--input", "users.csv", "--output", "o"]
    assert shuffle("init", *two, "--join", "user_id", "--join", "on").code == 0
    spec = load_job(Path("job.yaml")).spec
    assert spec.operation.join is not None
    assert (spec.operation.join.left, spec.operation.join.right) == ("events", "users")
    assert spec.operation.join.on == ["user_id", "on"]
    assert shuffle("init", "--force", *two, "--by", "user_id").code == 0
    spec = load_job(Path("job.yaml")).spec
    assert [(one.name, one.path) for one in spec.inputs] == [
        ("events", "s3://b/events/*.parquet"),
        ("users", "users.csv"),
    ]
    assert shuffle("init", "--force", "-i", "a/x", "-i", "b/x", "-i", "1/*", "-i", "2/*").code == 0
    assert [one.name for one in load_job(Path("job.yaml")).spec.inputs] == ["x", "x_2", "input_1", "input_2"]


@pytest.mark.parametrize("inputs", [[], ["--input", "a", "--input", "b"]])
def test_every_commented_line_is_valid_once_it_is_used(shuffle: Any, inputs: list[str]) -> None:
    text = shuffle("init", "-", *inputs).out
    commented = [line for line in text.splitlines() if re.match(r" +# +[a-z][A-Za-z]*: ", line)]
    assert len(commented) >= 14
    for line in commented:
        indent, entry = re.match(r"( *)# +(.*)", line).groups()  # type: ignore[union-attr]
        entry = re.sub(r"  +.*", "", entry)
        if entry.startswith(("repartition", "sort: ", "distinct", "groupBy", "window", "cluster", "join")):
            used = text.replace("    repartition: {}\n", f"{indent}{entry}\n")
        elif entry.startswith(("replicas", "resources")):
            used = text + f"  workers:\n    {entry}\n"
        elif entry.startswith("workers:"):
            continue
        else:
            used = text.replace(line, f"{indent}{entry}")
        assert used != text or entry == "repartition: {}", line
        load_job(used)


def test_another_file_is_not_replaced_unless_asked(shuffle: Any) -> None:
    Path("job.yaml").write_text("mine")
    outcome = shuffle("init", "job.yaml")
    assert (outcome.code, outcome.err) == (2, "job.yaml exists already; --force replaces it\n")
    assert Path("job.yaml").read_text() == "mine"
    assert shuffle("init", "--force", "job.yaml").code == 0
    load_job(Path("job.yaml"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "a", "--sort", "a"], "give one of --by, --sort and --join"),
        (["--join", "a"], "--join takes two inputs, 1 are given"),
        (["--input", "a.zarr", "--input", "b"], "a.zarr is a Zarr store, of arrays: a job takes one"),
        (["--by", "a", "--by", "a"], '"a" listed more than once'),
        (["--input", "x", "--output", "x/y"], 'the output "x/y" is inside the input "x"'),
        (["--partitions", "0"], "expected a whole number from 1 to 1,000,000"),
        (["--input", ""], "this is an empty string"),
        (["--input", "a.zarr", "--by", "x"], "a.zarr is a Zarr store, of arrays: --by, --sort and --partitions are"),
        (["--by", "\udcff"], "is no text in UTF-8"),
        (["--by", "a" * 257], "found 257 characters, expected at most 256"),
        (["."], "is a folder; name a file"),
        ([".", "--force"], "cannot be written: Is a directory"),
        (["no/such/folder/job.yaml"], "cannot be written: No such file or directory"),
    ],
)
def test_what_would_be_no_valid_job_is_refused_and_not_written(shuffle: Any, arguments: list[str], said: str) -> None:
    outcome = shuffle("init", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert list(Path().iterdir()) == []


NAMES = [
    "y", "n", "on", "off", "yes", "no", "true", "null", "~", "1", "1.5", "0x1F", "0o17", "1e3", "1_000", "12:30:45",
    ".inf", "2026-01-31", "=", "<<", "-", "- a", "?", ": ", "a: b", "{a}", "[a]", "a, b", "#", "a #b", "'", '"', "\\",
    "it's", 'say "hi"', "&a", "*a", "!a", "!!str a", "|", ">", "%", "@", "`", " a", "a ", "Ä", "日本", "🎉", "a\tb",
    "a\nb", "a\u2028b", "\x85", "{{ x }}", "user id", "total ($)", "a.b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("option", ["--by", "--sort"])
def test_any_column_is_that_column(shuffle: Any, name: str, option: str) -> None:
    """To our reader, and to YAML's own."""
    assert shuffle("init", option, name, option, "second").code == 0
    operation = load_job(Path("job.yaml")).spec.operation
    found = operation.sort.by[0].column if operation.sort is not None else operation.repartition.by[0]  # type: ignore[index,union-attr]
    assert found == name
    assert yaml.safe_load(Path("job.yaml").read_text())["spec"]["operation"] == (
        {"sort": {"by": [{"column": name}, {"column": "second"}]}}
        if option == "--sort"
        else {"repartition": {"by": [name, "second"]}}
    )
    assert shuffle("validate", "job.yaml").code == 0


@pytest.mark.parametrize("stem", ["y", "on", "NULL", "~", "1", "true", "日本", "-", "a b", ".x", "x" * 100])
def test_any_file_name_gives_a_valid_job(shuffle: Any, stem: str) -> None:
    assert shuffle("init", f"./{stem}.yaml").code == 0
    assert shuffle("validate", f"./{stem}.yaml").code == 0
    assert isinstance(yaml.safe_load(Path(f"{stem}.yaml").read_text())["metadata"]["name"], str)


@pytest.mark.parametrize("source", ["a.zarr", "a.zarr/", "s3://b/era5.zarr", "folder"])
def test_a_zarr_store_is_rechunked(shuffle: Any, source: str) -> None:
    Path("folder").mkdir()
    Path("folder/zarr.json").write_text("{}")
    assert shuffle("init", "--input", source).code == 0
    assert load_job(Path("job.yaml")).spec.operation.rechunk is not None
    assert "to a Zarr store in output/" in shuffle("validate", "job.yaml").out


def test_every_commented_line_for_arrays_is_valid_once_it_is_used(shuffle: Any) -> None:
    text = shuffle("init", "-", "--input", "a.zarr").out
    commented = [line for line in text.splitlines() if re.match(r" +# +[a-z][A-Za-z]*: ", line)]
    assert len(commented) == 7
    for line in commented:
        indent, entry = re.match(r"( *)# +(.*)", line).groups()  # type: ignore[union-attr]
        load_job(text.replace(line, indent + re.sub(r"  +.*", "", entry)))


@given(st.text(min_size=1, max_size=30))
def test_any_text_survives_as_yaml(text: str) -> None:
    document = read(f"a: [{word(text)}]\nb: {word(text)}\n")
    assert not document.problems
    assert document.value == {"a": [text], "b": text}


@given(st.text(max_size=80))
def test_any_file_name_gives_a_name(stem: str) -> None:
    name = job_name(stem)
    assert re.fullmatch(NAME_PATTERN, name)
    assert len(name) <= MAX_NAME

"""What comes from data or from people is text in HTML and in a terminal, and no secret is shown anywhere."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from shuffle_local.cli.progress import facts
from shuffle_local.python import hypertext
from shuffle_local.python.explained import JobPlan, plan_of
from shuffle_local.python.result import result_of
from shuffle_operator import InvalidJob, ShuffleJob, agg, read_parquet, storage
from shuffle_operator.api.data import Storage
from shuffle_operator.api.workers import EnvVar
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.jobs import StorageOptions
from shuffle_protocol.messages import Figures, Phase, PlanNode

HOSTILE = [
    "<script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "&lt;b&gt;&amp;",
    "</td></tr></table><h1>",
    "<!-- ",
    "]]>",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "\x1b]0;title\x07\x1b[31m",
    "a\x00b",
]
ALLOWED = {"div", "b", "br", "small", "progress", "table", "tr", "th", "td", "ul", "li"}
SECRET = "hunter2-a-secret"


class Looked(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.tags.add(f"comment {data}")


def assert_harmless(text: str, shown: str) -> None:
    found = Looked(text)
    assert found.tags <= ALLOWED
    assert found.attributes <= {"style", "value", "max"}
    assert hypertext.clean(shown) in found.text
    assert all(character.isprintable() for character in text)


def snapshot(**values: Any) -> Snapshot:
    kinds: dict[Any, object] = {str: "", int: 0, float: 0.0, bool: False, Phase: Phase.COMPLETE}
    fields = {field.name: kinds[field.type] for field in msgspec.structs.fields(Snapshot) if field.required}
    return Snapshot(**{**fields, "name": "job", **values})


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_job_shows_them_as_text(name: str) -> None:
    path = "".join(c for c in name if c.isprintable() or ord(c) > 127) + "/in"
    computed = {"b": f"concat(c, '{name}')", f"{name}2": "c"}
    table = read_parquet(path, columns=[name, "b"], compute=computed, filter=f"b = '{name}'", base_path=path)
    job = table.group_by(name).agg(agg.count()).write_parquet("out", partition_by=[name], sort_within=["b", name])
    assert_harmless(job._repr_html_(), name)
    assert "\x1b" not in repr(job)
    assert "\u202e" not in repr(job)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_progress_and_results_show_them_as_text(name: str) -> None:
    tree = PlanNode(step="Write", what=name, why=[name], estimated=Figures(rows=1), inputs=[PlanNode("Read", name)])
    now = snapshot(message=f"Writing: {name}", notes=[name], tree=tree, output=name, rows_read=1, name=name)
    assert_harmless(hypertext.bar(now, [f"Warning: {name}"]), name)
    result = result_of(now, name, "Parquet", StorageOptions())
    assert_harmless(result._repr_html_(), name)
    assert "\x1b" not in repr(result)
    for _, text in facts(now):
        assert html.escape(hypertext.clean(text)) in result._repr_html_()


@pytest.mark.parametrize("name", [name for name in HOSTILE if "\x00" not in name], ids=ascii)
def test_a_plan_shows_them_as_text(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({name: [1, 2], "b": [3, 4]}), tmp_path / "a.parquet")
    job = read_parquet(tmp_path / "a.parquet").sort(name).write_parquet(tmp_path / "out", partitions=1)
    plan = plan_in_process(job)
    assert_harmless(plan._repr_html_(), name)
    assert "\x1b" not in repr(plan)
    lost = str.maketrans("", "", "\ufffd")  # rich drops some of what is not printed
    assert hypertext.clean(name).translate(lost) in repr(plan).translate(lost)


def plan_in_process(job: ShuffleJob) -> JobPlan:
    """Without the process that `plan_of` has for it, which would take a second for each name."""
    from shuffle_worker.worker.explaining import explanation_of

    return JobPlan(explanation_of(job._here("explain", 1, "512Mi")))


def test_a_plan_is_made_in_a_process_of_its_own_and_is_the_same(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "a.parquet")
    job = read_parquet(tmp_path / "a.parquet").sort("a").write_parquet(tmp_path / "out", partitions=1)
    assert plan_of(job._here("explain", 1, "512Mi")).tree == plan_in_process(job).tree


def secretive() -> ShuffleJob:
    place = storage(endpoint="https://s3.example.com", options={"key": SECRET, "client_kwargs": f"x={SECRET}"})
    table = read_parquet("s3://a/in/", storage=place)
    job = table.distinct().write_parquet("s3://a/out/", storage={"options": {"secret": SECRET}})
    template = {"spec": {"containers": [{"name": "worker", "env": [{"name": "A", "value": SECRET}]}]}}
    return job.with_workers(env={"TOKEN": SECRET}, pod_template=template)


def test_no_secret_is_shown() -> None:
    job = secretive()
    assert SECRET in job.to_yaml()  # which is for kubectl
    place = storage(options={"key": SECRET})
    table = read_parquet("s3://a/in/", storage=place)
    shown = [job, job.spec, job.spec.inputs, job.spec.workers, place, table, table.distinct(), table.group_by("a")]
    shown += [table.distinct().write_parquet, job.metadata]
    result = result_of(snapshot(), "s3://a/out/", "Parquet", StorageOptions("", {"key": SECRET}))
    shown += [result]
    for one in shown:
        assert SECRET not in repr(one)
        assert SECRET not in str(one)
        assert SECRET not in f"{one}"
    for one in (job, result):
        assert SECRET not in one._repr_html_()


def test_no_secret_is_in_an_error_of_a_model() -> None:
    """For those who make the resource of its models themselves."""
    for make in (lambda: Storage(options=SECRET), lambda: EnvVar(name="TOKEN", value=[SECRET])):  # type: ignore[arg-type]
        with pytest.raises(ValidationError) as caught:
            make()
        assert SECRET not in str(caught.value)


WRONG = [
    lambda: secretive().with_workers(env=[{"name": "TOKEN", "value": 12345678}]),  # type: ignore[typeddict-item]
    lambda: secretive().with_workers(env={"TOKEN": 12345678}),  # type: ignore[dict-item]
    lambda: read_parquet("in", storage={"options": "12345678"}),  # type: ignore[typeddict-item]
    lambda: storage(options="12345678"),  # type: ignore[arg-type]
    lambda: read_parquet("in", storage={"options": {"key": ["12345678"]}}).distinct().write_parquet("o").run(),
    lambda: secretive().configure(backoff_limit=-1),
]


@pytest.mark.parametrize("make", WRONG)
def test_no_secret_is_in_an_error(make: Any) -> None:
    with pytest.raises(InvalidJob) as caught:
        make()
    assert not re.search(f"12345678|{SECRET}", str(caught.value))

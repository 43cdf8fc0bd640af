"""What bounds a job: a table of situations, each with the figures that decide it and the line that would change it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from shuffle_operator.api.validation import check_job
from shuffle_operator.history.figures import Activity
from shuffle_operator.history.skew_advice import advice_on
from shuffle_operator.history.verdict import Situation, verdict_on
from shuffle_protocol.jobs import (
    AnyOperation,
    Apply,
    AsOf,
    Cluster,
    Distinct,
    GroupBy,
    Join,
    RandomOrder,
    Rechunk,
    Repartition,
    Sort,
    SortKey,
    StarJoin,
    Window,
)

MIB, GIB = 1 << 20, 1 << 30
PLAIN = Situation(
    activity=Activity(read=40, compute=20, send=10, write=20, idle=10),
    missing=0.0,
    workers=4,
    ready=4,
    memory=2 * GIB,
    spilled=0,
    largest=5 * MIB,
    median=4 * MIB,
    partitions=64,
    splits=100,
    groups=64,
    losses=0,
    lost_seconds=0.0,
    retains=False,
    local=False,
    compression="Snappy",
)


def like(**changes: Any) -> Situation:
    return replace(PLAIN, **changes)


CASES = [
    ("reading", like(), "replicas: 8"),
    ("reading", like(local=True), "replicas: 8"),
    ("computing", like(activity=Activity(read=10, compute=60, write=20)), "replicas: 8"),
    ("sending", like(activity=Activity(read=10, compute=10, send=70)), "replicas: 8"),
    ("receivers", like(activity=Activity(read=10, send=10, blocked=70)), "memory: 3Gi"),
    ("disk", like(activity=Activity(read=10, disk=70), spilled=40 * GIB), "memory: 22Gi"),
    ("disk", like(activity=Activity(read=10, disk=70)), "replicas: 8"),
    ("writing", like(activity=Activity(read=10, write=70)), "replicas: 8"),
    ("writing", like(activity=Activity(read=10, write=70), compression="Zstd"), "compression: Snappy"),
    ("store", like(activity=Activity(read=60, store=20)), "storageRetrySeconds: 3600"),
    ("store", like(activity=Activity(read=60, store=20), local=True), ""),
    ("workers", like(missing=60.0, ready=2), "replicas: 2"),
    ("workers", like(missing=60.0), ""),
    ("workers", like(missing=60.0, ready=0), "replicas: 1"),
    ("losses", like(losses=2, lost_seconds=40.0), "retainShards: true"),
    ("losses", like(losses=2, lost_seconds=40.0, retains=True), ""),
    ("skew", like(activity=Activity(write=50, idle=50), largest=400 * MIB), "partitions: 256"),
    ("skew", like(activity=Activity(write=50, idle=50), largest=400 * MIB, hot_key="k = 7", hot_share=0.3), ""),
    ("nothing", like(activity=Activity(write=50, idle=50), workers=20, groups=3, splits=3), "replicas: 10"),
    ("nothing", like(activity=Activity(write=50, idle=50), local=True), ""),
    ("nothing", like(activity=Activity(read=1.0)), ""),
    ("nothing", like(activity=Activity()), ""),
    ("nothing", like(activity=Activity(job=30.0)), ""),
    ("reading", like(activity=Activity(read=40, idle=60), workers=1, ready=1), "replicas: 2"),
    ("reading", like(median=0, largest=0), "replicas: 8"),
    ("skew", like(activity=Activity(write=50, idle=50), largest=400 * MIB, partitions=0, groups=0), "partitions: 16"),
]


@pytest.mark.parametrize(("bound_by", "found", "yaml_part"), CASES)
def test_a_verdict(bound_by: str, found: Situation, yaml_part: str) -> None:
    verdict = verdict_on(found)
    assert verdict.bound_by == bound_by
    assert yaml_part in verdict.yaml
    assert bool(verdict.yaml) == bool(yaml_part)
    assert verdict.sentence.endswith(".")


@pytest.mark.parametrize("found", [found for _, found, _ in CASES])
def test_the_sentence_follows_from_the_figures(found: Situation) -> None:
    """A percentage in the sentence is one of the figures beside it."""
    verdict = verdict_on(found)
    if verdict.evidence:
        first = verdict.evidence[0]
        shown = f"{100 * first.value:.0f} %" if first.unit == "share" else f"{first.value:.1f} times"
        assert shown in verdict.sentence


@pytest.mark.parametrize("line", sorted({verdict_on(found).yaml for _, found, _ in CASES} - {""}))
def test_the_line_is_one_of_a_job_file(line: str) -> None:
    """Put into the spec of a job it is a job still."""
    text = (Path(__file__).parents[1] / "history" / "job.yaml").read_text(encoding="utf-8")
    body = yaml.safe_load(text)
    for name, value in yaml.safe_load(line).items():
        body["spec"][name] = {**body["spec"].get(name, {}), **value} if isinstance(value, dict) else value
    check_job(body)


@pytest.mark.parametrize("activity", [Activity(), Activity(read=1.0), Activity(job=30.0)])
def test_a_job_that_is_over_was_too_short(activity: Activity) -> None:
    assert verdict_on(like(activity=activity)).sentence == "It is too early to say what bounds this job."
    over = verdict_on(like(activity=activity, over=True))
    assert (over.bound_by, over.sentence) == ("nothing", "This job was too short to say what bounds it.")


def test_workers_that_were_there() -> None:
    assert "(2 of 4 workers are now)" in verdict_on(like(missing=60.0, ready=2)).sentence
    assert "(0 of 4 workers are now)" in verdict_on(like(missing=60.0, ready=0)).sentence
    assert "(2 of 4 workers were at the most)" in verdict_on(like(missing=60.0, ready=2, over=True)).sentence


def test_a_hot_key_is_named_with_its_share_and_what_to_do() -> None:
    skewed = like(activity=Activity(write=50, idle=50), largest=400 * MIB, hot_key="customer = 7", hot_share=0.3)
    advice = advice_on(Window(["customer"], [], {}), "customer = 7")
    verdict = verdict_on(replace(skewed, hot_advice=advice))
    assert verdict.sentence.endswith("; customer = 7 alone has about 30 % of all rows.")
    assert (verdict.yaml, verdict.why) == ("", advice)
    assert "operation.window.by" in advice
    assert [one.value for one in verdict.evidence if "customer = 7" in one.label] == [0.3]


KEYS = (["a"], ["a"])
OPERATIONS: list[tuple[AnyOperation, str]] = [
    (Repartition(by=["a"]), "operation.repartition.by"),
    (Repartition(range=["a"]), "operation.repartition.range"),
    (Apply(["a"], "m:f"), "operation.groupBy.by"),
    (GroupBy(["a"], []), "approxQuantile"),
    (Window(["a"], [], {}), "operation.window.by"),
    (Distinct(["a"]), "operation.distinct.rows"),
    (Sort([SortKey("a")]), "operation.sort.by"),
    (Cluster(["a", "b"]), "operation.cluster.by"),
    (Join("Full", 0, 1, *KEYS), "leftOn, rightOn"),
    (Join("AsOf", 0, 1, *KEYS, as_of=AsOf("t", "t")), "put in order"),
]


@pytest.mark.parametrize(("operation", "part"), OPERATIONS)
def test_each_operation_has_its_advice(operation: AnyOperation, part: str) -> None:
    advice = advice_on(operation, "a = 7")
    assert part in advice
    assert advice.endswith(".")
    without = advice_on(operation, "a = null")
    assert (
        without
        == f"These rows have no key: leave them out where nobody needs them (inputs[].filter: a is not null). {advice}"
    )


def test_every_operation_that_brings_keys_together_has_advice() -> None:
    without = {RandomOrder, Rechunk, StarJoin}  # in turn, arrays, and rows that stay where they are
    assert {type(one) for one, _ in OPERATIONS} | without == set(get_args(AnyOperation))

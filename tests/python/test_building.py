"""Jobs built call by call are the resource that YAML would be, immutable, and refused by the argument that is wrong."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from tests.api.api_server import ApiServer

from shuffle_operator import (
    InvalidJob,
    ShuffleJob,
    agg,
    desc,
    read_csv,
    read_feather,
    read_files,
    read_json,
    read_orc,
    read_parquet,
    read_zarr,
    side,
    storage,
)
from shuffle_operator.api.document import read
from shuffle_operator.api.validation import load_job

EVENTS = read_parquet("in/")

SPECS: list[tuple[str, Callable[[], ShuffleJob], str]] = [
    (
        "by hash",
        lambda: EVENTS.repartition("a", "b").write_parquet("out", partitions=4),
        "{operation: {repartition: {by: [a, b]}}, inputs: [{path: in/, format: Parquet}],"
        " output: {path: out, format: Parquet, partitions: 4}}",
    ),
    (
        "by range",
        lambda: EVENTS.repartition(range="a").write_feather("out", sort_within="a", compression="Lz4"),
        "{operation: {repartition: {range: [a]}}, inputs: [{path: in/, format: Parquet}],"
        " output: {path: out, format: Feather, sortWithin: [a], compression: Lz4}}",
    ),
    (
        "in turn",
        lambda: EVENTS.repartition().write_json("out", target_partition_size="64Mi", on_existing="Overwrite"),
        "{operation: {repartition: {}}, inputs: [{path: in/, format: Parquet}],"
        " output: {path: out, format: JSON, targetPartitionSize: 64Mi, onExisting: Overwrite}}",
    ),
    (
        "sort",
        lambda: read_orc(["a", Path("b")], columns=["x", "y"], compute={"y": "lower(z)"})
        .sort("x", desc("y", nulls="First"))
        .write_orc("out"),
        "{operation: {sort: {by: [{column: x}, {column: y, order: Descending, nulls: First}]}},"
        " inputs: [{paths: [a, b], columns: [x, y], compute: {y: lower(z)}, format: ORC}],"
        " output: {path: out, format: ORC}}",
    ),
    (
        "join",
        lambda: read_parquet("l", name="events").join(
            read_csv("r", schema={"id": pa.int64()}, delimiter=";", header=False),
            left_on="user_id", right_on="id", how="Left", suffixes=("", "_u"), nulls_equal=True,
        ).write_parquet("out"),
        "{operation: {join: {type: Left, left: events, right: right, leftOn: [user_id], rightOn: [id],"
        " suffixes: ['', _u], nullsEqual: true}}, inputs: [{name: events, path: l, format: Parquet},"
        " {name: right, path: r, format: CSV, schema: [{name: id, type: int64}], csv: {delimiter: ;, header: false}}],"
        " output: {path: out, format: Parquet}}",
    ),
    (
        "union",
        lambda: read_parquet("a", name="a", name_as="from")
        .union(read_csv("b", filter="x > 1"), read_parquet("c").union(read_orc("d")))
        .group_by("k")
        .agg(agg.count())
        .write_parquet("out"),
        "{operation: {groupBy: {by: [k], aggregations: [{function: count}]}},"
        " inputs: [{name: a, nameAs: from, path: a, format: Parquet}, {path: b, format: CSV, filter: x > 1},"
        " {path: c, format: Parquet}, {path: d, format: ORC}], output: {path: out, format: Parquet}}",
    ),
    (
        "join with several sides",
        lambda: EVENTS.join_sides(
            side(read_parquet("u", name="users"), left_on="a", right_on="id", how="Left", suffixes=("", "_u")),
            side(read_csv("c"), how="Cross", where="l.x < r.x", nulls_equal=True),
        ).write_parquet("out"),
        "{operation: {join: {left: left, sides: [{right: users, leftOn: [a], rightOn: [id], type: Left,"
        " suffixes: ['', _u]}, {right: side_2, type: Cross, nullsEqual: true, where: l.x < r.x}]}},"
        " inputs: [{name: left, path: in/, format: Parquet}, {name: users, path: u, format: Parquet},"
        " {name: side_2, path: c, format: CSV}], output: {path: out, format: Parquet}}",
    ),
    (
        "join with a condition",
        lambda: EVENTS.join(read_parquet("r"), how="Cross", where="l.a < r.b").write_parquet("out"),
        "{operation: {join: {type: Cross, left: left, right: right, where: l.a < r.b}},"
        " inputs: [{name: left, path: in/, format: Parquet}, {name: right, path: r, format: Parquet}],"
        " output: {path: out, format: Parquet}}",
    ),
    (
        "as-of join",
        lambda: EVENTS.join_as_of(
            read_parquet("r", name="prices"), "a", left_time="at", right_time="since", direction="Nearest",
            tolerance=timedelta(minutes=5), allow_exact_matches=False, suffixes=("", "_r"),
        ).write_parquet("out"),
        "{operation: {join: {type: AsOf, left: left, right: prices, 'on': [a], suffixes: ['', _r], asOf: {left: at,"
        " right: since, direction: Nearest, tolerance: 300000000us, allowExactMatches: false}}},"
        " inputs: [{name: left, path: in/, format: Parquet}, {name: prices, path: r, format: Parquet}],"
        " output: {path: out, format: Parquet}}",
    ),
    (
        "aggregations",
        lambda: EVENTS.group_by("a", nulls="Drop")
        .agg(agg.count(), agg.corr("x", "y"), total=agg.sum("x"), p=agg.quantile("x", 0.9), top=agg.largest("x", 3))
        .write_csv("out", partition_by=["a"]),
        "{operation: {groupBy: {by: [a], nulls: Drop, aggregations: [{function: count},"
        " {function: corr, column: x, with: y}, {function: sum, column: x, as: total},"
        " {function: quantile, column: x, quantile: 0.9, as: p}, {function: largest, column: x, values: 3, as: top}]}},"
        " inputs: [{path: in/, format: Parquet}], output: {path: out, format: CSV, partitionBy: [a]}}",
    ),
    (
        "apply",
        lambda: read_files("in", reader="io:read", schema=[("a", "int64")])
        .group_by(["a"])
        .apply("sessions:f", schema=pa.schema([("a", pa.int64())]), per="Partition", timeout_seconds=60)
        .write_parquet("out"),
        "{operation: {groupBy: {by: [a], apply: 'sessions:f', schema: [{name: a, type: int64}], per: Partition,"
        " timeoutSeconds: 60}}, inputs: [{path: in, reader: 'io:read', schema: [{name: a, type: int64}]}],"
        " output: {path: out, format: Parquet}}",
    ),
    (
        "distinct",
        lambda: read_json("root/in", base_path="root").distinct("a", keep="Last").write_parquet("out"),
        "{operation: {distinct: {by: [a], keep: Last}}, inputs: [{path: root/in, basePath: root, format: JSON}],"
        " output: {path: out, format: Parquet}}",
    ),
    (
        "newest rows",
        lambda: EVENTS.distinct("a", order_by=["b", desc("c")], rows=3).write_parquet("out"),
        "{operation: {distinct: {by: [a], orderBy: [{column: b}, {column: c, order: Descending}], rows: 3}},"
        " inputs: [{path: in/, format: Parquet}], output: {path: out, format: Parquet}}",
    ),
    (
        "cluster",
        lambda: EVENTS.cluster("a", "b", curve="ZOrder").write_parquet("out"),
        "{operation: {cluster: {by: [a, b], curve: ZOrder}}, inputs: [{path: in/, format: Parquet}],"
        " output: {path: out, format: Parquet}}",
    ),
    (
        "window",
        lambda: EVENTS.window("a", order_by="b", compute={"c": "row_number()"}).write_parquet("out"),
        "{operation: {window: {by: [a], orderBy: [{column: b}], compute: {c: row_number()}}},"
        " inputs: [{path: in/, format: Parquet}], output: {path: out, format: Parquet}}",
    ),
    (
        "random order",
        lambda: EVENTS.repartition(random=0).write_parquet("out"),
        "{operation: {repartition: {random: {seed: 0}}}, inputs: [{path: in/, format: Parquet}],"
        " output: {path: out, format: Parquet}}",
    ),
    (
        "rechunk",
        lambda: read_zarr("a.zarr")
        .rechunk(
            {"time": -1, "lat": "Auto"},
            target_chunk_size="32Mi",
            select={"time": slice(0, 8760), "lat": slice(None, None, 2)},
        )
        .write_zarr("b.zarr"),
        "{operation: {rechunk: {chunks: {time: -1, lat: Auto}, targetChunkSize: 32Mi,"
        " select: {time: '0:8760', lat: '::2'}}}, inputs: [{path: a.zarr, format: Zarr}],"
        " output: {path: b.zarr, format: Zarr}}",
    ),
    (
        "storage",
        lambda: read_feather("s3://a/in", filter="x > 1", storage=storage("lake", options={"a": True}))
        .distinct()
        .write_parquet("s3://a/out", storage={"secretRef": {"name": "lake"}}),
        "{operation: {distinct: {}}, inputs: [{path: 's3://a/in', filter: x > 1, format: Feather,"
        " storage: {secretRef: {name: lake}, options: {a: true}}}],"
        " output: {path: 's3://a/out', format: Parquet, storage: {secretRef: {name: lake}}}}",
    ),
    (
        "knobs",
        lambda: EVENTS.distinct().write_parquet("out")
        .with_workers(replicas=3, env={"A": "b"}, resources={"limits": {"memory": "4Gi"}}, node_selector={"x": "y"})
        .with_workers(image="i", tolerations=[{"key": "spot", "operator": "Exists"}])
        .with_functions([{"path": "/opt/code"}], memory="256Mi")
        .configure(method="PeerToPeer", retain_shards=True, backoff_limit=1)
        .configure(suspend=True),
        "{operation: {distinct: {}}, inputs: [{path: in/, format: Parquet}], output: {path: out, format: Parquet},"
        " workers: {replicas: 3, resources: {limits: {memory: 4Gi}}, nodeSelector: {x: y}, env: [{name: A, value: b}],"
        " image: i, tolerations: [{key: spot, operator: Exists}]}, functions:"
        " {sources: [{path: /opt/code}], memory: 256Mi},"
        " method: PeerToPeer, backoffLimit: 1, recovery: {retainShards: true}, suspend: true}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "spec"), [(make, spec) for _, make, spec in SPECS], ids=[name for name, _, _ in SPECS]
)
def test_a_chain_of_calls_is_the_resource(make: Callable[[], ShuffleJob], spec: str) -> None:
    job = make()
    assert job.manifest()["spec"] == yaml.safe_load(spec)
    assert load_job(job.to_yaml()).manifest() == job.manifest()
    assert ShuffleJob.from_yaml(job.to_yaml()).to_yaml() == job.to_yaml()


@pytest.fixture(scope="module")
def server() -> ApiServer:
    return ApiServer()


@pytest.mark.parametrize("make", [make for _, make, _ in SPECS], ids=[name for name, _, _ in SPECS])
def test_an_api_server_takes_the_file(server: ApiServer, make: Callable[[], ShuffleJob]) -> None:
    found = read(make().to_yaml())
    assert found.problems == []
    assert isinstance(found.value, dict)
    assert server.refuses(found.value) == []


def test_nothing_changes_what_it_is_called_on() -> None:
    job = EVENTS.distinct().write_parquet("out")
    before = job.to_yaml()
    table, shuffled = EVENTS.sort("a"), EVENTS.group_by("a")
    shuffled.agg(agg.count())
    table.write_parquet("a", partitions=3)
    job.named("other", namespace="data", labels={"a": "b"})
    job.with_workers(replicas=3).configure(suspend=True)
    assert job.to_yaml() == before
    assert table.write_parquet("out").manifest()["spec"]["output"] == {"path": "out", "format": "Parquet"}


def test_jobs_that_say_the_same_are_equal() -> None:
    job = EVENTS.distinct().write_parquet("out")
    assert job == ShuffleJob.from_yaml(job.to_yaml()) == pickle.loads(pickle.dumps(job))
    assert len({job, EVENTS.distinct().write_parquet("out"), job.named("other")}) == 2
    assert job != job.configure(suspend=True)


def test_a_job_is_called_after_its_folder_or_as_it_is_named() -> None:
    done = EVENTS.distinct()
    assert done.write_parquet("s3://lake/By User/").metadata.name == "by-user"
    assert done.write_parquet("out", name="mine").metadata.name == "mine"
    assert read_zarr("a.zarr").rechunk({"x": 1}).write_zarr("x/b.zarr").metadata.name == "b"
    named = done.write_parquet("out").named("other", namespace="data", labels={"team": "x"}, annotations={"a": "b"})
    assert named.manifest()["metadata"] == {
        "name": "other", "namespace": "data", "labels": {"team": "x"}, "annotations": {"a": "b"},
    }  # fmt: skip


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: read_parquet(""), "read_parquet(path=...): this is an empty string"),
    (lambda: read_parquet("in", columns=["a", "a"]), 'read_parquet(columns=...): "a" listed more than once'),
    (lambda: read_csv("in", delimiter=";;"), "read_csv(delimiter=...): found 2 characters, expected at most 1"),
    (lambda: read_csv("in", header="yes"), 'read_csv(header=...): found "yes", expected true or false'),  # type: ignore[arg-type]
    (lambda: read_csv("in", schema={"a": "int"}).sort("a").write_parquet("o", name="X"), "write_parquet(name=...)"),
    (lambda: read_json("in", schema={"a": "nothing"}), "read_json(schema[0].type=...)"),
    (lambda: read_files("in", format="pq"), 'read_files(format=...): found "pq", expected Parquet'),  # type: ignore[arg-type]
    (lambda: read_parquet("in", storage=storage("Ä")), "storage(secret_ref=...)"),
    (lambda: read_parquet("in", storage={"endpoint": "x"}), "read_parquet(storage.endpoint=...)"),
    (lambda: EVENTS.repartition("a", range="b").write_parquet("o"), "repartition(...): give by (hash), range"),
    (lambda: EVENTS.sort().write_parquet("o"), "sort(by=...): found no entries"),
    (lambda: EVENTS.sort("a", "a"), 'sort(by=...): "a" is a key more than once'),
    (lambda: EVENTS.group_by(), "group_by(by=...): no columns are named"),
    (lambda: EVENTS.group_by("a").agg(), "agg(aggregations=...): found no entries"),
    (lambda: agg.quantile("a", 2), "agg.quantile(quantile=...): found 2, expected a number from 0 to 1"),
    (lambda: EVENTS.distinct("a", keep="last"), 'distinct(keep=...): found "last", expected First or Last'),  # type: ignore[arg-type]
    (lambda: desc("a", nulls="first"), 'desc(nulls=...): found "first"'),  # type: ignore[arg-type]
    (
        lambda: EVENTS.join(EVENTS, "a", how="outer"),  # type: ignore[arg-type]
        'join(how=...): found "outer", expected Inner, Left, Right, Full, LeftSemi',
    ),
    (lambda: EVENTS.join(EVENTS, left_on="a").write_parquet("o"), "join(...): give on, or leftOn and rightOn"),
    (
        lambda: EVENTS.join_as_of(EVENTS, "a", left_time="x", right_time="y", tolerance="soon"),
        "join_as_of(tolerance=...): found \"soon\": expected a span of time",
    ),
    (lambda: EVENTS.join_as_of(EVENTS, left_time="x", right_time="y").write_orc("o"), "join_as_of(...): give on, or"),
    (
        lambda: read_csv("l", name="x").join(read_parquet("r", name="x"), "a").write_parquet("o"),
        "join(...): left and right must be the names of the two inputs",
    ),
    (lambda: EVENTS.distinct().write_csv("o", partitions=0), "write_csv(partitions=...): found 0, expected a whole"),
    (lambda: EVENTS.distinct().write_csv("o", partitions="64"), "write_csv(partitions=...): found \"64\", a string"),  # type: ignore[arg-type]
    (
        lambda: EVENTS.distinct().write_csv("o", partitions=1, target_partition_size="1Mi"),
        "write_csv(...): give partitions or targetPartitionSize, not both",
    ),
    (lambda: EVENTS.distinct().write_orc("in/x"), "write_orc(path=...): the output \"in/x\" is inside the input"),
    (lambda: read_parquet("a", columns="x").sort("y").write_orc("b"), 'sort(by[0].column=...): "y" is not among'),
    (lambda: read_zarr("a").rechunk({"x": 0}), "rechunk(chunks.x=...)"),
    (lambda: read_zarr("a").rechunk({"x": 1}, select={"x": "noon"}), "rechunk(select.x=...)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), WRONG, ids=[said.partition(":")[0] for _, said in WRONG])
def test_what_is_wrong_is_refused_at_once_by_its_argument(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        make()
    assert said in str(caught.value)
    assert all(problem.argument for problem in caught.value.problems)


JOB = EVENTS.distinct().write_parquet("out")
WRONG_KNOBS: list[tuple[Callable[[], object], str]] = [
    (lambda: JOB.with_workers(replicas=0), "with_workers(replicas=...): found 0"),
    (lambda: JOB.with_workers(replicas=3, max_replicas=2), "with_workers(replicas=...): give replicas, or minReplicas"),
    (lambda: JOB.with_workers(resources={"limits": {"memory": "1"}}), "with_workers(resources.limits.memory=...)"),
    (lambda: JOB.with_workers(tolerations=[{"efect": "x"}]), "with_workers(tolerations[0].efect=...)"),  # type: ignore[typeddict-unknown-key]
    (lambda: JOB.with_functions([{"sha256": "x"}]), "with_functions(sources[0].sha256=...)"),
    (lambda: JOB.configure(backoff_limit=-1), "configure(backoff_limit=...): found -1"),
    (lambda: JOB.configure(method="p2p"), "configure(method=...): found \"p2p\""),  # type: ignore[arg-type]
    (lambda: JOB.named("Ä"), "named(name=...)"),
    (lambda: JOB.run(workers=0), "run(workers=...): found 0, expected 1 to 1,024"),
    (lambda: JOB.run(workers=True), "run(workers=...): found True"),
    (lambda: JOB.explain(memory="1Ki"), "explain(memory=...): found '1Ki'; expected 256Mi to 64Ti"),
    (lambda: JOB.explain(memory=[1]), "explain(memory=...): found [1]"),  # type: ignore[arg-type]
    (lambda: JOB.configure(backend="Gpu").run(), "configure(backend=...): Gpu is for functions of your own"),
    (
        lambda: read_csv("in", storage=storage("lake")).distinct().write_parquet("out").run(),
        "read_csv(storage.secretRef=...): a run on this machine reads no Kubernetes Secret",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), WRONG_KNOBS, ids=[said.partition(":")[0] for _, said in WRONG_KNOBS])
def test_a_wrong_knob_is_refused_by_its_argument(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        make()
    assert said in str(caught.value)


UNKNOWN: list[Callable[[], Any]] = [
    lambda: read_parquet("in", colums=["a"]),  # type: ignore[call-arg]
    lambda: EVENTS.repartition("a", ranges="b"),  # type: ignore[call-arg]
    lambda: EVENTS.join("users/", "a"),  # type: ignore[arg-type]
    lambda: EVENTS.group_by("a").agg("count"),  # type: ignore[arg-type]
    lambda: EVENTS.distinct().write_parquet("out", partition=3),  # type: ignore[call-arg]
    lambda: JOB.with_workers(replica=3),  # type: ignore[call-arg]
    lambda: JOB.configure(retries=3),  # type: ignore[call-arg]
    lambda: JOB.run(worker=1),  # type: ignore[call-arg]
]


@pytest.mark.parametrize("make", UNKNOWN)
def test_an_unknown_name_is_a_type_error(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        make()


def test_what_a_chain_cannot_do_says_what_to_do() -> None:
    with pytest.raises(AttributeError, match="write this and read the result by another job, which has the sort"):
        _ = EVENTS.distinct().sort  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"say what is done with it first: repartition\(\)"):
        _ = EVENTS.write_csv  # type: ignore[attr-defined]
    assert not hasattr(EVENTS, "anything")


def test_completion_shows_the_verbs_and_nothing_of_pydantic() -> None:
    shown = {name for name in dir(JOB) if not name.startswith("_")}
    assert {"run", "run_async", "explain", "submit", "to_yaml", "with_workers", "spec", "metadata"} <= shown
    assert not {name for name in shown if name.startswith("model_")}
    assert "copy" not in shown
    assert {"write_parquet", "write_csv"} <= set(dir(EVENTS.distinct()))


def test_it_is_written_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    assert file.write_text("") == 0
    assert JOB.to_yaml(file) == file.read_text()
    assert ShuffleJob.from_yaml(file).manifest() == JOB.manifest()
    with pytest.raises(InvalidJob, match="no such file"):
        ShuffleJob.from_yaml(tmp_path / "none.yaml")

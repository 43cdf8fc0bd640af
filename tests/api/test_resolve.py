"""A checked job becomes what the workers are told, or is refused for what this version does not do yet."""

from __future__ import annotations

from typing import Any

import pytest

from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.resolve import declared_memory, declared_workers, resolve, unsupported
from shuffle_operator.api.validation import check_job
from shuffle_protocol import jobs

GIB = 1 << 30


def told(job: dict[str, Any], local: bool = True) -> jobs.Job:
    return resolve(check_job(job), uid="u1", workers=3, memory=GIB, local=local)


def test_defaults_are_filled_in(job: Any) -> None:
    assert told(job()) == jobs.Job(
        uid="u1",
        name="events",
        operation=jobs.Repartition(by=["user_id"]),
        inputs=[jobs.Input(paths=["s3://bucket/events/"])],
        output=jobs.Output(path="s3://bucket/by-user/", target_bytes=256 << 20, compression="Zstd"),
        workers=3,
        memory=GIB,
    )


def test_everything_that_was_said_is_told(job: Any) -> None:
    store = {"endpoint": "http://127.0.0.1:9000", "options": {"anon": True, "retries": 3}}
    result = told(
        job(
            operation={"repartition": {"range": ["ts"]}},
            inputs=[
                {
                    "name": "events", "paths": ["/a", "/b/*.parquet"], "format": "Parquet", "columns": ["id", "ts"],
                    "filter": "id > 3", "storage": store, "compute": {"day": "date_trunc('day', ts)"},
                }
            ],
            output={
                "path": "/out", "partitions": 64, "compression": "Snappy", "sortWithin": ["ts", "id"],
                "onExisting": "Overwrite", "storage": store,
            },
        )
    )  # fmt: skip
    storage = jobs.StorageOptions(endpoint="http://127.0.0.1:9000", options={"anon": True, "retries": 3})
    assert result.operation == jobs.Repartition(range=["ts"])
    compute = {"day": "date_trunc('day', ts)"}
    assert result.inputs == [
        jobs.Input(["/a", "/b/*.parquet"], "events", "Parquet", ["id", "ts"], "id > 3", storage, compute=compute)
    ]
    assert result.output.partitions == 64
    assert result.output.sort_within == [jobs.SortKey("ts"), jobs.SortKey("id")]
    assert (result.output.compression, result.output.overwrite, result.output.storage) == ("Snappy", True, storage)


def test_a_sort_keeps_the_order_of_its_keys(job: Any) -> None:
    keys = [{"column": "ts", "order": "Descending", "nulls": "First"}, {"column": "id"}]
    result = told(job(operation={"sort": {"by": keys}}, output={"path": "/out", "targetPartitionSize": "1G"}))
    assert result.operation == jobs.Sort(by=[jobs.SortKey("ts", True, True), jobs.SortKey("id")])
    assert result.output.target_bytes == 10**9


def test_the_message_survives_the_wire(job: Any) -> None:
    import msgspec

    assert msgspec.json.decode(msgspec.json.encode(told(job())), type=jobs.Job) == told(job())


TWO = [{"name": "a", "path": "/a"}, {"name": "b", "path": "/b"}]


def test_a_join_names_its_inputs_by_number(job: Any) -> None:
    on = {"left": "b", "right": "a", "on": ["k"]}
    assert told(job(operation={"join": on}, inputs=TWO)).operation == jobs.Join("Inner", 1, 0, ["k"], ["k"])
    keys = {"left": "a", "right": "b", "leftOn": ["x"], "rightOn": ["y"], "suffixes": ["_l", "_r"], "nullsEqual": True}
    found = told(job(operation={"join": {"type": "Full", **keys}}, inputs=TWO)).operation
    assert found == jobs.Join("Full", 0, 1, ["x"], ["y"], ["_l", "_r"], nulls_equal=True)


GAPS: list[tuple[dict[str, Any], str, str]] = [
    ({"inputs": [{"path": "/a", "format": "Zarr"}]}, "spec.inputs[0].format", "Zarr input"),
    ({"inputs": [{"paths": ["/a", "/b.zarr/"]}]}, "spec.inputs[0].paths", '"/b.zarr/" is Zarr by its suffix'),
    ({"output": {"path": "/o", "format": "Zarr"}}, "spec.output.format", "Zarr output"),
]


@pytest.mark.parametrize(("spec", "path", "what"), GAPS)
def test_what_is_not_built_yet_is_refused(job: Any, spec: dict[str, Any], path: str, what: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        told(job(**spec))
    assert caught.value.reason == "InvalidSpec"
    assert [str(problem).partition(": ")[0] for problem in caught.value.problems] == [path]
    assert what in caught.value.message
    assert "is not supported by this version yet" in caught.value.message


def test_each_of_several_inputs_may_have_a_map(job: Any) -> None:
    inputs = [{"path": "/a", "name": "a", "map": "m:f"}, {"path": "/b", "name": "b"}]
    assert [one.map for one in told(job(inputs=inputs)).inputs] == ["m:f", ""]
    on = {"left": "a", "right": "b", "on": ["k"]}
    assert told(job(operation={"join": on}, inputs=inputs)).inputs[0].map == "m:f"


def test_a_gpu_is_for_functions(job: Any) -> None:
    mapped = {"inputs": [{"path": "/a", "map": "m:f"}], "backend": "Gpu"}
    assert told(job(**mapped)).gpu
    assert not told(job(inputs=mapped["inputs"])).gpu


ARRAYS = {"path": "/a.zarr"}


def test_a_rechunk_is_told_with_its_defaults(job: Any) -> None:
    rechunk = {"chunks": {"time": -1, "x": "Auto"}, "zarrFormat": "V3", "targetChunkSize": "1Mi"}
    result = told(job(operation={"rechunk": rechunk}, inputs=[ARRAYS], output={"path": "/out", "format": "Zarr"}))
    assert result.operation == jobs.Rechunk({"time": -1, "x": "Auto"}, target_bytes=1 << 20, zarr_format=3)


@pytest.mark.parametrize(
    ("source", "output", "path", "what"),
    [
        ({"paths": ["/a", "/b"]}, {}, "spec.inputs[0].paths", "one Zarr store"),
        ({"path": "/a", "format": "Parquet"}, {}, "spec.inputs[0].format", "reads Zarr, not Parquet"),
        ({"path": "/a", "columns": ["x"]}, {}, "spec.inputs[0].columns", "variables"),
        ({"path": "/a", "filter": "x > 1"}, {}, "spec.inputs[0].filter", "select"),
        ({"path": "/a", "compute": {"x": "y + 1"}}, {}, "spec.inputs[0].compute", "an array keeps its values"),
        ({"path": "/a", "name": "x", "nameAs": "y"}, {}, "spec.inputs[0].nameAs", "whose rows have columns"),
        ({"path": "/a", "reader": "m:f"}, {}, "spec.inputs[0].reader", "Zarr stores only"),
        (ARRAYS, {"format": "Parquet"}, "spec.output.format", "writes Zarr, not Parquet"),
        (ARRAYS, {"partitions": 3}, "spec.output.partitions", "chunks"),
        (ARRAYS, {"targetPartitionSize": "1Gi"}, "spec.output.targetPartitionSize", "targetChunkSize"),
        (ARRAYS, {"compression": "Zstd"}, "spec.output.compression", "operation.rechunk.compression"),
        (ARRAYS, {"sortWithin": ["x"]}, "spec.output.sortWithin", "no rows"),
        (ARRAYS, {"compute": {"x": "y + 1"}}, "spec.output.compute", "an array keeps its values"),
        (ARRAYS, {"filter": "x > 1"}, "spec.output.filter", "operation.rechunk.select"),
        (ARRAYS, {"columns": ["x"]}, "spec.output.columns", "operation.rechunk.variables"),
    ],
)
def test_what_goes_with_tables_does_not_go_with_arrays(
    job: Any, source: dict[str, Any], output: dict[str, Any], path: str, what: str
) -> None:
    with pytest.raises(InvalidJob) as caught:
        told(job(operation={"rechunk": {"chunks": {"x": 1}}}, inputs=[source], output={"path": "/out", **output}))
    assert [str(problem).partition(": ")[0] for problem in caught.value.problems] == [path]
    assert what in caught.value.message


def test_further_joins_and_unions_are_told(job: Any) -> None:
    inputs = [{"name": name, "path": f"/{name}"} for name in "abc"]
    sides = [{"right": "c", "on": ["k"], "where": "l.x < r.x"}, {"right": "b", "type": "Cross", "nullsEqual": True}]
    star = told(job(operation={"join": {"left": "a", "sides": sides}}, inputs=inputs)).operation
    assert star == jobs.StarJoin(
        [
            jobs.Join("Inner", 0, 2, ["k"], ["k"], where="l.x < r.x", field="operation.join.sides[0]"),
            jobs.Join("Cross", 0, 1, [], [], nulls_equal=True, field="operation.join.sides[1]"),
        ]
    )
    named = [{**one, "nameAs": "origin"} for one in inputs]
    assert [(one.name, one.name_as) for one in told(job(inputs=named)).inputs] == [(name, "origin") for name in "abc"]


def test_what_is_said_of_formats_is_told(job: Any) -> None:
    csv = {"delimiter": ";", "quote": "'", "header": False, "nullValues": ["", "NA"]}
    schema = [{"name": "id", "type": "int64"}, {"name": "name", "type": "string"}]
    source = {"path": "/a/*.csv.gz", "csv": csv, "schema": schema}
    result = told(job(inputs=[source], output={"path": "/o", "format": "JSON", "partitionBy": ["name"]}))
    assert result.inputs[0].csv == jobs.Csv(delimiter=";", quote="'", header=False, null_values=["", "NA"])
    assert result.inputs[0].schema == [jobs.ResultColumn("id", "int64"), jobs.ResultColumn("name", "string")]
    assert (result.output.compression, result.output.partition_by) == ("None", ["name"])
    assert told(job(inputs=[{"path": "/a", "reader": "m:f"}])).inputs[0].reader == "m:f"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"output": {"path": "/o", "format": "CSV", "compression": "Snappy"}},
            "CSV cannot be Snappy; choose None, Gzip",
        ),
        ({"output": {"path": "/o", "format": "Feather", "compression": "Gzip"}}, "Feather cannot be Gzip; choose Zstd"),
        ({"output": {"path": "/o", "format": "ORC", "compression": "Brotli"}}, "ORC cannot be Brotli"),
        ({"inputs": [{"path": "/a", "format": "ORC", "csv": {}}]}, "csv: the format is ORC"),
        (
            {"inputs": [{"path": "/a", "format": "Parquet", "schema": [{"name": "x", "type": "int64"}]}]},
            "schema: Parquet files say their types themselves",
        ),
    ],
)
def test_what_formats_cannot_do_is_refused(job: Any, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        told(job(**spec))
    assert said in caught.value.message


def test_a_secret_is_for_clusters(job: Any) -> None:
    spec = {"inputs": [{"path": "s3://x/a", "storage": {"secretRef": {"name": "s"}}}]}
    with pytest.raises(InvalidJob, match="reads no Kubernetes Secret"):
        told(job(**spec))
    assert told(job(**spec), local=False).inputs[0].storage == jobs.StorageOptions()
    assert unsupported(check_job(job(**spec)), local=False) == []


def test_storage_options_are_scalars(job: Any) -> None:
    with pytest.raises(InvalidJob, match=r"spec.inputs\[0\].storage.options.a: expected a string"):
        told(job(inputs=[{"path": "a", "storage": {"options": {"a": [1]}}}]))


@pytest.mark.parametrize(
    ("workers", "count"),
    [
        (None, 4), ({"replicas": 9}, 9), ({"minReplicas": 6}, 6), ({"maxReplicas": 2}, 2), ({}, 4),
        ({"minReplicas": 2, "maxReplicas": 8}, 4),
    ],
)  # fmt: skip
def test_the_number_of_workers(job: Any, workers: dict[str, int] | None, count: int) -> None:
    assert declared_workers(check_job(job(workers=workers)), default=4) == count


def test_the_memory_of_a_worker(job: Any) -> None:
    assert declared_memory(check_job(job()), default=7) == 7
    both = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    assert declared_memory(check_job(job(workers={"resources": both})), default=7) == 2 * GIB
    assert declared_memory(check_job(job(workers={"resources": {"requests": {"memory": "1Gi"}}})), default=7) == GIB


APPLY = {"groupBy": {"by": ["k"], "apply": "m:f"}}
MIB = 1 << 20


def test_a_function_over_groups(job: Any) -> None:
    found = told(job(operation=APPLY))
    assert found.operation == jobs.Apply(["k"], "m:f")
    group = {**APPLY["groupBy"], "per": "Partition", "timeoutSeconds": 5, "nulls": "Drop"}
    schema = [{"name": "total", "type": "double"}]
    found = told(job(operation={"groupBy": {**group, "schema": schema}}))
    columns = [jobs.ResultColumn("total", "double")]
    assert found.operation == jobs.Apply(["k"], "m:f", columns, "Partition", 5.0, "Drop")


def test_where_functions_are_found_and_what_memory_they_get(job: Any) -> None:
    sources = [{"configMapRef": {"name": "code"}}, {"path": "s3://bucket/code.zip", "sha256": "A" * 64}]
    body = check_job(job(operation=APPLY, functions={"sources": sources}))
    near = resolve(body, uid="u", workers=1, memory=1000 * MIB).functions
    assert near == jobs.Functions([jobs.CodeSource("s3://bucket/code.zip", sha256="A" * 64)], 400 * MIB)
    far = resolve(body, uid="u", workers=1, memory=400 * MIB, local=False).functions
    assert far.sources[0] == jobs.CodeSource("/var/run/shuffle-functions/0", name="the ConfigMap code")
    assert far.memory == 144 * MIB  # the worker needs the rest
    assert told(job()).functions == jobs.Functions()


def test_functions_that_leave_a_worker_too_little_are_refused(job: Any) -> None:
    for functions, field in (({"memory": "300Mi"}, "spec.functions.memory"), (None, "spec.workers.resources")):
        body = check_job(job(operation=APPLY, **({"functions": functions} if functions else {})))
        with pytest.raises(InvalidJob, match="give workers at least") as caught:
            resolve(body, uid="u", workers=1, memory=300 * MIB)
        assert str(caught.value.problems[0]).startswith(field)

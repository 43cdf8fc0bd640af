"""From a checked ShuffleJob to the worker's `Job`: defaults filled in, quantities as numbers, local or in a cluster.

The API describes more than this version carries out, so that job files and the resource's schema need not change when
it does. What it cannot do yet (some formats) is refused here, before anything starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shuffle_operator.api.called import functions_called
from shuffle_operator.api.data import Input, Output, Storage
from shuffle_operator.api.functions import LEAST_MEMORY, MOUNT, SHARE
from shuffle_operator.api.operation import AsOf, GroupBy, Join, JoinSide, SortKey
from shuffle_operator.api.preemptible import preemptible
from shuffle_operator.api.problems import InvalidJob, Path, Problem
from shuffle_operator.api.quantities import format_bytes, parse_bytes
from shuffle_operator.api.rechunk import rechunk, rechunk_problems
from shuffle_operator.api.spec import ShuffleJob, Spec
from shuffle_protocol import formats, jobs
from shuffle_protocol.memory import MINIMUM

DEFAULT_TARGET_BYTES = jobs.TARGET_BYTES
"""Of an output file, where neither partitions nor targetPartitionSize is given."""

FORMATS = frozenset(formats.READABLE)
"""What this version reads and writes."""


def resolve(
    job: ShuffleJob,
    *,
    uid: str,
    workers: int,
    memory: int,
    local: bool = True,
    per_pod: int = 1,
) -> jobs.Job:
    """What the workers get. `workers` and `memory` (bytes each) are the caller's decision: see `declared_workers`
    and `declared_memory` for what the job says itself. per_pod: how many workers a pod is cut into, where there are
    pods: `workers` is then the number of pods, and `memory` that of a pod. Raises InvalidJob where this version cannot
    carry it out."""
    problems = unsupported(job, local=local) or list(_memory_problems(job.spec, memory))
    if problems:
        raise InvalidJob(problems, job.metadata.name)
    patience = float(job.spec.storage_retry_seconds or 0)
    return jobs.Job(
        uid=uid,
        name=job.metadata.name,
        operation=_operation(job.spec),
        inputs=[_input(item, patience) for item in job.spec.inputs],
        output=_output(job.spec.output, patience),
        workers=workers * per_pod,
        memory=memory // per_pod,
        method=job.spec.method,
        preemptible=preemptible(job.spec.workers),
        functions=_functions(job.spec, memory, local, per_pod),
        retain_shards=job.spec.recovery is not None and job.spec.recovery.retain_shards,
        most_workers=0 if local else most_workers(job) * per_pod,
        gpu=job.spec.backend == "Gpu",
        workers_per_pod=per_pod,
    )


def declared_workers(job: ShuffleJob, default: int) -> int:
    """The workers that the job asks for; `default`, brought into its range, where it leaves the number open."""
    workers = job.spec.workers
    if workers is None:
        return default
    if workers.replicas is not None:
        return workers.replicas
    return min(max(default, workers.min_replicas or 1), workers.max_replicas or max(default, workers.min_replicas or 1))


def most_workers(job: ShuffleJob) -> int:
    """Up to how many the job may grow by itself; 0: it stays with what it has."""
    workers = job.spec.workers
    return workers.max_replicas or 0 if workers is not None and workers.replicas is None else 0


def declared_memory(job: ShuffleJob, default: int) -> int:
    """The bytes that each worker may use by the job's own word: its limit, or what it requests."""
    resources = job.spec.workers.resources if job.spec.workers is not None else None
    for amounts in (resources.limits, resources.requests) if resources is not None else ():
        if amounts is not None and amounts.memory is not None:
            return parse_bytes(amounts.memory)
    return default


def functions_memory(spec: Spec, memory: int) -> int:
    """How much of a worker's memory is for processes of functions; nothing where the job has none."""
    called = len(functions_called(spec))
    if not called:
        return 0
    if spec.functions is not None and spec.functions.memory is not None:
        return parse_bytes(spec.functions.memory)
    return max(LEAST_MEMORY * called, min(int(memory * SHARE), memory - MINIMUM))


def _memory_problems(spec: Spec, memory: int) -> Iterator[Problem]:
    functions = functions_memory(spec, memory)
    if functions and memory - functions < MINIMUM:
        given = spec.functions is not None and spec.functions.memory is not None
        message = (
            f"functions get {format_bytes(functions)} of the {format_bytes(memory)} that each worker has, which leaves "
            f"less than the {format_bytes(MINIMUM)} that it needs itself; give workers at least "
            f"{format_bytes(functions + MINIMUM)}"
        )
        yield Problem(
            ("spec", "functions", "memory") if given else ("spec", "workers", "resources", "limits", "memory"), message
        )


def _functions(spec: Spec, memory: int, local: bool, per_pod: int) -> jobs.Functions:
    """Without ConfigMaps where the run is on one machine: the folder of the job file stands for them."""
    sources: list[jobs.CodeSource] = []
    for at, source in enumerate((spec.functions.sources if spec.functions is not None else None) or []):
        if source.config_map_ref is None:
            assert source.path is not None
            storage = _storage(source.storage, float(spec.storage_retry_seconds or 0))
            sources.append(jobs.CodeSource(source.path, storage=storage, sha256=source.sha256 or ""))
        elif not local:
            sources.append(jobs.CodeSource(f"{MOUNT}/{at}", name=f"the ConfigMap {source.config_map_ref.name}"))
    seconds = float(spec.functions.timeout_seconds) if spec.functions is not None else 3600.0
    return jobs.Functions(sources, functions_memory(spec, memory) // per_pod, seconds)


def unsupported(job: ShuffleJob, *, local: bool) -> list[Problem]:
    """What this version, or a run on one machine, cannot carry out of a job that is valid."""
    return list(_gaps(job.spec, local))


def _gaps(spec: Spec, local: bool) -> Iterator[Problem]:
    if spec.operation.rechunk is not None:
        yield from rechunk_problems(spec)
        for index, item in enumerate(spec.inputs):
            yield from _storage_problems(item.storage, ("spec", "inputs", index), local)
        yield from _storage_problems(spec.output.storage, ("spec", "output"), local)
        yield from _code_problems(spec, local)
        return
    for index, item in enumerate(spec.inputs):
        yield from _input_problems(item, ("spec", "inputs", index), local)
    yield from _output_problems(spec.output, ("spec", "output"), local)
    yield from _code_problems(spec, local)


def _code_problems(spec: Spec, local: bool) -> Iterator[Problem]:
    for index, source in enumerate((spec.functions.sources if spec.functions is not None else None) or []):
        yield from _storage_problems(source.storage, ("spec", "functions", "sources", index), local)


def _input_problems(item: Input, path: Path, local: bool) -> Iterator[Problem]:
    if item.format is not None and item.format not in FORMATS:
        yield Problem((*path, "format"), f"{item.format} input {_unsupported_format()}")
    elif item.format is None and item.reader is None:
        for place in _paths(item):
            guess = formats.format_by_name(place)
            if guess is not None and guess not in FORMATS:
                message = f'"{place}" is {guess} by its suffix, which {_unsupported_format()}; '
                message += "if it is Parquet in spite of its name, write format: Parquet"
                yield Problem((*path, "path" if item.path else "paths"), message)
                break
    if item.format is not None and item.format not in formats.TEXT and item.schema_ is not None:
        message = f"{item.format} files say their types themselves; schema is for CSV, JSON and a reader of your own"
        yield Problem((*path, "schema"), message)
    if item.format not in (None, "CSV") and item.csv is not None:
        yield Problem((*path, "csv"), f"the format is {item.format}; csv says how CSV files are written")
    yield from _storage_problems(item.storage, path, local)


def _output_problems(output: Output, path: Path, local: bool) -> Iterator[Problem]:
    if output.format not in FORMATS:
        yield Problem((*path, "format"), f"{output.format} output {_unsupported_format()}")
    elif output.compression not in (None, *formats.COMPRESSIONS[output.format]):
        allowed = ", ".join(formats.COMPRESSIONS[output.format])
        yield Problem((*path, "compression"), f"{output.format} cannot be {output.compression}; choose {allowed}")
    yield from _storage_problems(output.storage, path, local)


def _unsupported_format() -> str:
    return f"is not supported by this version yet ({', '.join(sorted(FORMATS))} is)"


def _storage_problems(storage: Storage | None, path: Path, local: bool) -> Iterator[Problem]:
    if storage is None:
        return
    if storage.secret_ref is not None and local:
        yield Problem(
            (*path, "storage", "secretRef"),
            "a run on this machine reads no Kubernetes Secret; leave it out and set the credentials as environment "
            "variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...)",
        )
    for name, value in (storage.options or {}).items():
        if not isinstance(value, str | int | float | bool):
            yield Problem((*path, "storage", "options", name), "expected a string, a number or a boolean")


def _paths(item: Input) -> list[str]:
    return list(item.paths) if item.paths is not None else [item.path or ""]


def _storage(storage: Storage | None, patience: float) -> jobs.StorageOptions:
    if storage is None:
        return jobs.StorageOptions(patience=patience)
    return jobs.StorageOptions(storage.endpoint or "", dict(storage.options or {}), patience)


def _operation(spec: Spec) -> jobs.AnyOperation:
    """The rules allow exactly one, and the table above refuses those that this version does not do."""
    operation = spec.operation
    if operation.sort is not None:
        return jobs.Sort(_sort_keys(operation.sort.by))
    if operation.join is not None:
        return _join(operation.join, [item.name for item in spec.inputs])
    if operation.group_by is not None:
        return _group_by(operation.group_by)
    if operation.distinct is not None:
        distinct = operation.distinct
        return jobs.Distinct(
            list(distinct.by or []), distinct.keep, order_by=_sort_keys(distinct.order_by or []), rows=distinct.rows
        )
    if operation.cluster is not None:
        return jobs.Cluster(list(operation.cluster.by), operation.cluster.curve)
    if operation.window is not None:
        window = operation.window
        return jobs.Window(list(window.by or []), _sort_keys(window.order_by or []), dict(window.compute))
    if operation.rechunk is not None:
        return rechunk(operation.rechunk)
    assert operation.repartition is not None
    if operation.repartition.random is not None:
        return jobs.RandomOrder(operation.repartition.random.seed)
    return jobs.Repartition(by=list(operation.repartition.by or []), range=list(operation.repartition.range or []))


def _sort_keys(keys: Sequence[SortKey]) -> list[jobs.SortKey]:
    return [
        jobs.SortKey(key.column, descending=key.order == "Descending", nulls_first=key.nulls == "First") for key in keys
    ]


def _join(join: Join, names: list[str | None]) -> jobs.Join | jobs.StarJoin:
    left = names.index(join.left)
    if join.sides is None:
        return _pair(join, left, names, "operation.join")
    return jobs.StarJoin(
        [_pair(side, left, names, f"operation.join.sides[{at}]") for at, side in enumerate(join.sides)]
    )


def _pair(join: Join | JoinSide, left: int, names: list[str | None], field: str) -> jobs.Join:
    """Two inputs that are joined: those of a join, or the left one of a star join and one of its sides."""
    return jobs.Join(
        how=join.type,
        left=left,
        right=names.index(join.right),
        left_on=list(join.on or join.left_on or []),
        right_on=list(join.on or join.right_on or []),
        suffixes=list(join.suffixes),
        nulls_equal=join.nulls_equal,
        as_of=_as_of(join.as_of) if isinstance(join, Join) and join.as_of is not None else None,
        where=join.where or "",
        field=field,
    )


def _as_of(asked: AsOf) -> jobs.AsOf:
    tolerance = "" if asked.tolerance is None else str(asked.tolerance)
    return jobs.AsOf(asked.left, asked.right, asked.direction, tolerance, asked.allow_exact_matches)


def _group_by(group: GroupBy) -> jobs.GroupBy | jobs.Apply:
    if group.apply is not None:
        schema = [jobs.ResultColumn(one.name, one.type) for one in group.schema_ or []]
        return jobs.Apply(
            by=list(group.by),
            function=group.apply,
            schema=schema or None,
            per=group.per,
            seconds=float(group.timeout_seconds),
            nulls=group.nulls,
        )
    return jobs.GroupBy(
        by=list(group.by),
        aggregations=[
            jobs.Aggregation(
                function=one.function,
                column=one.column,
                name=one.as_ or "_".join(filter(None, (one.function, one.column))),
                quantile=one.quantile,
                ignore_nulls=one.ignore_nulls,
                other=one.with_,
                values=one.values or 0,
            )
            for one in group.aggregations or []
        ],
        nulls=group.nulls,
    )


def _input(item: Input, patience: float) -> jobs.Input:
    return jobs.Input(
        paths=_paths(item),
        name=item.name or "",
        format=item.format or "",
        columns=list(item.columns) if item.columns is not None else None,
        filter=item.filter or "",
        compute=dict(item.compute or {}),
        name_as=item.name_as or "",
        storage=_storage(item.storage, patience),
        schema=None if item.schema_ is None else [jobs.ResultColumn(one.name, one.type) for one in item.schema_],
        csv=None if item.csv is None else jobs.Csv(**item.csv.model_dump()),
        reader=item.reader or "",
        map=item.map or "",
        map_schema=None
        if item.map_schema is None
        else [jobs.ResultColumn(one.name, one.type) for one in item.map_schema],
        base_path=item.base_path or "",
    )


def _output(output: Output, patience: float) -> jobs.Output:
    target = output.target_partition_size
    return jobs.Output(
        path=output.path,
        format=output.format,
        partitions=output.partitions or 0,
        target_bytes=parse_bytes(target) if target is not None else DEFAULT_TARGET_BYTES,
        compression=output.compression or formats.COMPRESSIONS.get(output.format, ("None",))[0],
        partition_by=list(output.partition_by or []),
        compute=dict(output.compute or {}),
        filter=output.filter or "",
        columns=list(output.columns) if output.columns is not None else None,
        sort_within=[jobs.SortKey(column) for column in output.sort_within or []],
        overwrite=output.on_existing == "Overwrite",
        report=output.report,
        storage=_storage(output.storage, patience),
    )

"""What a worker's pod is given: memory, processors, scratch, and what these are enough for: how many leases at once, in
how many workers. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from shuffle_operator.api.called import functions_called
from shuffle_operator.api.functions import LEAST_MEMORY
from shuffle_operator.api.quantities import format_bytes, parse_bytes, parse_cpu
from shuffle_operator.api.resolve import functions_memory
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.workers import Workers
from shuffle_protocol.memory import MINIMUM

Object = dict[str, Any]

BESIDES_SCRATCH = 1 << 30
"""Ephemeral storage beside scratch: logs, /tmp."""
UNLIMITED_REQUEST = 1 << 30
"""What is asked for where the job does not say how much scratch it needs, so that it is scheduled on any node."""
LEAST_CPU = "250m"
"""What is asked for where the job says nothing: little, so that it is scheduled anywhere."""
MOST_SLOTS = 16
SLOTS_EACH = 2
"""Leases at once in one worker process. A thread that computes holds the interpreter for about a fifth of its time, so
two of them seldom wait for each other, and more than four mostly do (docs/performance.md, *Many cores*). A pod with
more processors has several processes."""


GPU = "nvidia.com/gpu"
GPU_TOLERATION: Object = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}
"""Of the taint that nodes with GPUs have in most clusters."""


def resources_of(workers: Workers, memory: int, scratch: int, gpu: bool = False) -> Object:
    """What the job asks for; memory is always limited, because the worker keeps within the limit."""
    given = workers.resources
    requests = plain(given.requests) if given and given.requests else {}
    limits = plain(given.limits) if given and given.limits else {}
    limits.setdefault("memory", format_bytes(memory))
    requests.setdefault("memory", limits["memory"])
    requests.setdefault("cpu", limits.get("cpu", LEAST_CPU))
    place = workers.scratch
    on_node = place is None or (place.medium is None and place.storage_class_name is None)
    stated = place is not None and place.size_limit is not None
    wanted = BESIDES_SCRATCH + (scratch if on_node else 0)
    extra = parse_bytes(limits["ephemeral-storage"]) if "ephemeral-storage" in limits else 0
    limits["ephemeral-storage"] = format_bytes(wanted + extra)
    if "ephemeral-storage" in requests:
        requests["ephemeral-storage"] = format_bytes(
            parse_bytes(requests["ephemeral-storage"]) + (scratch if on_node and stated else 0)
        )
    else:
        requests["ephemeral-storage"] = format_bytes(wanted if stated and on_node else UNLIMITED_REQUEST)
    if gpu:
        requests[GPU] = limits[GPU] = "1"
    return {"requests": requests, "limits": limits}


def scratch_bytes(workers: Workers, default: int) -> int:
    scratch = workers.scratch
    if scratch is not None and scratch.size_limit is not None:
        return parse_bytes(scratch.size_limit)
    if scratch is not None and scratch.medium == "Memory":
        return 1 << 30
    return default


def scratch_volume(workers: Workers, size: int) -> Object:
    scratch = workers.scratch
    if scratch is not None and scratch.storage_class_name is not None:
        claim = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": scratch.storage_class_name,
            "resources": {"requests": {"storage": format_bytes(size)}},
        }
        return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}
    volume: Object = {"sizeLimit": format_bytes(size)}
    if scratch is not None and scratch.medium is not None:
        volume["medium"] = scratch.medium
    return {"emptyDir": volume}


def slots_of(workers: Workers, memory: int, functions: int, called: int) -> int:
    """Leases computed at once: one for each whole processor, as many as leave each the least memory it needs.
    functions: how much of the memory is for functions; called: how many these are, with a process each in a lease."""
    cpu = 1.0
    resources = workers.resources
    for amounts in (resources.limits, resources.requests) if resources is not None else ():
        if amounts is not None and amounts.cpu is not None:
            cpu = parse_cpu(amounts.cpu)
            break
    most = min(MOST_SLOTS, (memory - functions) // MINIMUM)
    return max(1, min(int(cpu), most, functions // (called * LEAST_MEMORY) if called else most))


class PodCut(NamedTuple):
    """How a pod is cut into workers."""

    workers: int
    """Processes, each a worker with a like part of the pod's memory and scratch."""
    slots: int
    """Leases at once, of all of them together."""
    memory: int
    """Bytes of the pod that its workers may use, without what is kept for scratch."""
    functions: int
    """Of these, for the processes of the user's functions."""


def cut_of(job: ShuffleJob, memory: int) -> PodCut:
    """memory: bytes of the pod."""
    workers = job.spec.workers or Workers()
    in_memory = workers.scratch is not None and workers.scratch.medium == "Memory"
    usable = max(memory - scratch_bytes(workers, 0), MINIMUM) if in_memory else memory
    functions = functions_memory(job.spec, usable)
    gpu = job.spec.backend == "Gpu"  # a lease at a time, whose functions have all of its memory
    slots = 1 if gpu else slots_of(workers, usable, functions, len(functions_called(job.spec)))
    return PodCut(-(-slots // SLOTS_EACH), slots, usable, functions)


def plain(value: Any) -> Any:
    """Models as the API wants them."""
    if value is None:
        return []
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)

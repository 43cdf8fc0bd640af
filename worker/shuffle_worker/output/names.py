"""Where output goes: the names of everything that a job writes below its output path.

part-00000.parquet ...      the partitions, seen whole or not at all
country=DE/part-00000...    where `output.partitionBy` asks for folders: a partition's rows of that value
_manifest.json, _SUCCESS    written last
_report.html                where `output.report` asks for it: after these, and no part of the output
_shuffle-<uid>/             staging, gone at the end:
    owner                   whose it is, where the run is on one machine (claim.py)
    plan                    the plan (JSON, zstd)
    replacing               there while older output is being replaced
    group-00000.json        what was written for a group: a record that outlives the worker
    shards/                 what was read, cut by bucket, where shards go by way of object storage
    part-00000.parquet      the partitions, where the job replaces older output (moved at commit)
"""

from __future__ import annotations

from shuffle_worker.storage import urls

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
REPORT = "_report.html"
REPLACING = "replacing"


def relative(path: str, output: str) -> str:
    """What a path that a listing gave is called below the output folder: `part-00000.parquet`, `_shuffle-x/plan`.
    However either of them is spelled."""
    if path.startswith(f"{output.rstrip('/')}/"):  # nearly always; the rest would cost seconds for a million files
        return path[len(output.rstrip("/")) + 1 :]
    folder, name = urls.canonical(output).rstrip("/"), urls.canonical(path)
    return name[len(folder) + 1 :] if name.startswith(f"{folder}/") else name


def staging(output: str, uid: str) -> str:
    return f"{output.rstrip('/')}/_shuffle-{uid}"


def plan_path(output: str, uid: str) -> str:
    return f"{staging(output, uid)}/plan"


def owner_path(output: str, uid: str) -> str:
    return f"{staging(output, uid)}/owner"


def replacing_path(output: str, uid: str) -> str:
    return f"{staging(output, uid)}/{REPLACING}"


def shards_folder(output: str, uid: str) -> str:
    return f"{staging(output, uid)}/shards"


def group_path(output: str, uid: str, group: int) -> str:
    return f"{staging(output, uid)}/group-{group:05d}.json"


def report_path(output: str) -> str:
    return f"{output.rstrip('/')}/{REPORT}"


def part_name(partition: int, suffix: str) -> str:
    """part-00042.parquet; five digits, more where there are more partitions."""
    return f"part-{partition:05d}.{suffix}"

"""Co-partitioned inputs: earlier jobs partitioned them as a join would, so they are joined file by file, no shuffle.

Called by `plan.py`. What counts is the manifest beside an input's files: partitioned by this project's hash, by the
keys of the join in their order, into the same number of files; and the files there are those that the manifest lists,
with the rows and bytes that it says. Anything else is no reason to fail: the sides come together in another way then,
and `explain` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from shuffle_protocol.errors import JobError
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.inputs.table import splits_of
from shuffle_worker.output.manifest import MANIFEST_FORMAT, Manifest
from shuffle_worker.output.names import MANIFEST, part_name
from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.plan.record import Split


class Aligned(NamedTuple):
    """Whether both sides of a join lie in files that can be joined one by one."""

    files: int
    """How many each side has; 0 where they are not alike."""
    reason: str
    """In words; "" where neither side is partitioned."""


def aligned(inputs: Sequence[PlannedInput], keys: Sequence[Sequence[str]], asked: int) -> Aligned:
    """keys: of each input, in the order of the join's. asked: the files that the output is to have, 0 for any."""
    manifests = [_manifest(one) for one in inputs]
    if any(manifest is None for manifest in manifests):
        return Aligned(0, "")
    counts = []
    for one, manifest, names in zip(inputs, manifests, keys, strict=True):
        assert manifest is not None
        parted = manifest.partitioning
        if one.source.map or any(name in one.source.compute for name in names):
            return Aligned(0, "")  # the files are by another column of that name
        if parted.method != "hash" or parted.hash != HASH_NAME or parted.keys != list(names):
            return Aligned(0, "")
        if not _is_whole(one, manifest):
            return Aligned(0, f"{one.said} has other files than its {MANIFEST} says")
        counts.append(parted.count)
    if counts[0] != counts[1]:
        return Aligned(0, f"the sides are partitioned by their keys, but into {counts[0]:,} and {counts[1]:,} files")
    if asked not in (0, counts[0]):
        return Aligned(0, f"the sides have {counts[0]:,} files each, by their keys, and {asked:,} are asked for")
    return Aligned(counts[0], f"no shuffle: both sides are partitioned by their keys into {counts[0]:,} files")


def splits_by_file(inputs: Sequence[PlannedInput]) -> list[list[Split]]:
    """For each file of the output, what is read of each input: the file of that number, but for row groups that the
    filter leaves out."""
    found: list[list[Split]] = [[] for _ in inputs[0].files]
    before = 0
    for one in inputs:
        for at in range(len(one.files)):
            groups = [group for group in one.row_groups if group.file == at]
            found[at] += splits_of(one.files, groups, 1.0, float("inf"), one.number, before)
        before += len(one.files)
    return found


def _manifest(one: PlannedInput) -> Manifest | None:
    """The manifest of an input that is one folder."""
    if len(one.source.paths) != 1:
        return None
    folder = one.source.paths[0].rstrip("/")
    try:
        found = msgspec.json.decode(one.files[0].look.storage.read(f"{folder}/{MANIFEST}"), type=Manifest)
    except (JobError, msgspec.DecodeError):
        return None
    return found if found.format == MANIFEST_FORMAT and not found.partition_by else None


def _is_whole(one: PlannedInput, manifest: Manifest) -> bool:
    names = [file.info.path.rsplit("/", 1)[-1] for file in one.files]
    if len(manifest.files) != len(names) or len(names) != manifest.partitioning.count:
        return False
    return all(
        name == record.name == part_name(at, name.partition(".")[2])
        and (file.rows, file.info.size) == (record.rows, record.bytes)
        for at, (name, file, record) in enumerate(zip(names, one.files, manifest.files, strict=True))
    )

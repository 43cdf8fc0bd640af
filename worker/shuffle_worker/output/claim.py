"""Whose output folder it is: each run on one machine leaves a mark in its staging folder, and looks for others'.

    other run                         what a new run does
    lives                             is refused
    was killed, surely                removes what it left, and says so
    of another machine or container   is refused, or with `onExisting: Overwrite` leaves it alone and says so
    left no mark (a cluster's job)    leaves it alone and says so

A run marks first and looks afterwards, so of two that start at once at least one sees the other. Runs that cannot know
of each other meet once more at the commit: only one of them may replace what is there (`begin_replacing`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from shuffle_protocol.errors import InputNotFound, InvalidSpec, JobError, OutputExists
from shuffle_protocol.jobs import Job, Rechunk
from shuffle_protocol.units import some
from shuffle_worker.output.names import REPLACING, SUCCESS, owner_path, relative, replacing_path, staging
from shuffle_worker.runtime.owner import Owner, is_alive, is_held
from shuffle_worker.storage import Storage

_STAGING = re.compile(r"_shuffle-([^/]+)/(.+)")
PATIENCE = 5.0
"""Seconds that the workers of a run that was killed get to leave."""
NAMED = 3
"""Other runs that a message names."""


class Mark(Struct, frozen=True):
    """What is in a staging folder's `owner`."""

    job: str
    overwrite: bool
    arrays: bool
    """Whether it is a rechunk."""
    owner: Owner


class Other(Struct, frozen=True):
    """Another run that has a staging folder here."""

    uid: str
    names: list[str]
    """Its files, by their paths below the staging folder."""
    mark: Mark | None = None
    alive: bool | None = None
    """None where that cannot be known."""
    whole: bool = False
    """A whole output is here, or about to be: its own, or one that a later job put in its place."""

    @property
    def planned(self) -> bool:
        """Whether it may have written under final names."""
        return "plan" in self.names

    @property
    def replaces(self) -> bool:
        """It is in its commit, or ended there and left no mark that says so."""
        return REPLACING in self.names and self.alive is not False

    def removable(self, arrays: bool) -> bool:
        """Whether it is surely dead, and of the kind that knows how to undo it."""
        return self.mark is not None and self.alive is False and self.mark.arrays == arrays

    def wrote_here(self, arrays: bool) -> bool:
        """Whether files under final names are its own, and no output: it found the folder empty, and was killed."""
        began = self.planned and self.mark is not None and not self.mark.overwrite
        return began and not self.whole and self.removable(arrays)


def occupants(job: Job, storage: Storage) -> tuple[list[str], list[Other]]:
    """The paths of all files in a job's output folder, and the other runs that have files there. Raises InvalidSpec
    where it is a file, OutputExists where another run is writing there, or may be."""
    output = job.output.path.rstrip("/")
    try:
        storage.info(output)
    except InputNotFound:
        pass
    else:
        raise InvalidSpec(f"output.path: {output} is a file; the output is a folder")
    paths = [info.path for info in storage.listing(output)]
    others = others_in(storage, output, job.uid, (relative(path, output) for path in paths))
    check_others(job, others)
    return paths, others


def others_in(storage: Storage, output: str, uid: str, names: Iterable[str]) -> list[Other]:
    """names: of all files, below the output folder. The runs but `uid` that have a staging folder there."""
    found: dict[str, list[str]] = {}
    whole = False
    for name in names:
        match = _STAGING.fullmatch(name)
        whole = whole or name == SUCCESS or (match is not None and match[2] == REPLACING)
        if match and match[1] != uid:
            found.setdefault(match[1], []).append(match[2])
    others = [_other(storage, output, other, below) for other, below in sorted(found.items())]
    return [msgspec.structs.replace(other, whole=whole) for other in others]


def check_others(job: Job, others: Sequence[Other]) -> None:
    """Raises OutputExists where another run is writing there, or may be."""
    path = job.output.path.rstrip("/")
    for other in others:
        if job.output.overwrite and other.replaces:
            raise OutputExists(f"output.path: {_replaced(path, other)}")
        if other.mark is None or other.alive is False:
            continue
        who = f"job {other.mark.job}, process {other.mark.owner.pid} on {other.mark.owner.host}"
        if other.alive:
            raise OutputExists(
                f"output.path: another run is writing to {path} ({who}, or workers of its); wait until it has ended, "
                "or choose another folder"
            )
        if not job.output.overwrite:
            raise OutputExists(
                f"output.path: another run began to write to {path} ({who}), and this machine cannot see whether it "
                f"has ended; if it has, remove {staging(path, other.uid)}, or choose another folder"
            )


def notes_on(job: Job, others: Sequence[Other]) -> list[str]:
    """What the person should know of other runs, a sentence each."""
    arrays, path = isinstance(job.operation, Rechunk), job.output.path.rstrip("/")
    notes = [
        f"the run of job {one.mark.job} that was killed (process {one.mark.owner.pid}) left files in {path}, which "
        "this run removes"
        for one in others
        if one.removable(arrays) and one.mark is not None
    ]
    kept = [staging(path, one.uid) for one in others if not one.removable(arrays)]
    if kept:
        notes.append(
            f"{some(kept, NAMED)}: left by another run, or in use by one; this run leaves it alone, remove "
            "it if nothing writes there any more"
        )
    return notes


def claim(
    job: Job,
    storage: Storage,
    owner: Owner | None,
    check: Callable[[Job, Storage], list[Other]],
    undo: Callable[[Storage, str, str, bool], None],
) -> None:
    """Mark the output as this run's and remove what dead ones left. check: raises JobError where the output must not
    be written to, and gives the other runs. undo: (storage, output, uid, overwrite) removes what a run wrote, its
    staging folder alone where `overwrite`."""
    arrays, output = isinstance(job.operation, Rechunk), job.output.path.rstrip("/")
    if owner is not None:
        mark = Mark(job.name, job.output.overwrite, arrays, owner)
        storage.put(owner_path(output, job.uid), msgspec.json.encode(mark))
    try:
        others = check(job, storage)
    except JobError:
        if owner is not None:
            storage.remove([owner_path(output, job.uid)])
        raise
    for one in others:
        if one.removable(arrays) and one.mark is not None:
            undo(storage, output, one.uid, not one.wrote_here(arrays))


def begin_replacing(storage: Storage, output: str, uid: str) -> list[str]:
    """From here to the end of the commit no other job may replace the output. Gives the files that are there. Raises
    OutputExists where another job does."""
    mine = replacing_path(output, uid)
    storage.put(mine, b"")
    paths = [info.path for info in storage.listing(output)]
    names = [relative(path, output) for path in paths]
    rivals = [one for one in others_in(storage, output, uid, names) if one.replaces]
    if rivals:
        storage.remove([mine])
        raise OutputExists(f"{_replaced(output, rivals[0])}; nothing of this job was put there")
    return paths


def sweep(storage: Storage, output: str, uid: str) -> None:
    """Remove what processes that died left on its way; of the whole folder only where no other job writes there."""
    names = [relative(info.path, output) for info in storage.listing(output)]
    alone = not any(match and match[1] != uid for match in map(_STAGING.fullmatch, names))
    storage.sweep(output if alone else staging(output, uid))


def in_order(paths: Sequence[str]) -> list[list[str]]:
    """Files of a staging folder in the order of their removal: the plan and the mark say whose the rest is, so they go
    last."""
    last = ("/plan", "/owner")
    return [[p for p in paths if not p.endswith(last)], *([p for p in paths if p.endswith(end)] for end in last)]


def _replaced(output: str, other: Other) -> str:
    return (
        f"{output}: another job is replacing this output at the same moment; run this one again when it has ended. "
        f"If nothing writes there any more, remove {staging(output, other.uid)}"
    )


def _other(storage: Storage, output: str, uid: str, names: list[str]) -> Other:
    if "owner" not in names:
        return Other(uid, names)
    try:
        mark = msgspec.json.decode(storage.read(owner_path(output, uid)), type=Mark)
    except (msgspec.DecodeError, InputNotFound):  # it was written by halves, or went this moment
        return Other(uid, names)
    alive = is_alive(mark.owner)
    if alive and mark.owner.held and not is_held(uid):
        alive = False  # it was given up, and its process does something else now
    return Other(uid, names, mark, _workers_remain(uid) if alive is False else alive)


def _workers_remain(uid: str) -> bool:
    """Of a run that was killed: they leave by themselves, within moments where nothing holds them up."""
    limit = time.monotonic() + PATIENCE
    while is_held(uid):
        if time.monotonic() > limit:
            return True
        time.sleep(0.1)
    return False

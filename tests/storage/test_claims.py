"""Whose an output is: what can be known of another run's process; two jobs never replace one output at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shuffle_protocol.errors import AccessDenied, JobError, OutputExists, StorageUnavailable
from shuffle_protocol.jobs import Input, Job, Output, Rechunk, Repartition
from shuffle_worker.arrays import commit as arrays_commit
from shuffle_worker.output.claim import Mark, begin_replacing, check_others, claim, notes_on, others_in, sweep
from shuffle_worker.planning.planner import check_output
from shuffle_worker.runtime.owner import Owner, hold, is_alive, this_process
from shuffle_worker.storage import LocalStorage, storage_for
from shuffle_worker.tables.commit import undo

HERE = this_process()


def gone() -> Owner:
    """A process that has ended, and was collected."""
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = msgspec.structs.replace(HERE, pid=program.pid)
    program.communicate(b"\n")
    return started


def zombie() -> Owner:
    program = subprocess.Popen(["true"])
    while " Z " not in Path(f"/proc/{program.pid}/stat").read_text():
        pass
    text = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return msgspec.structs.replace(HERE, pid=program.pid, started=int(text[19]))


def other(**changes: Any) -> Owner:
    return msgspec.structs.replace(HERE, **changes)


@pytest.mark.parametrize(
    ("owner", "alive"),
    [
        (HERE, True),
        (other(started=HERE.started + 1), False),  # the id was given to another process
        (other(boot="another", machine="", host="elsewhere"), None),
        (other(boot="another", machine="m", host="elsewhere"), None),
        (other(space="pid:[1]"), None),  # another container
        (other(boot=""), None),
    ],
)
def test_what_can_be_known_of_a_process(owner: Owner, alive: bool | None) -> None:
    assert is_alive(owner) is alive


def test_a_process_that_ended_is_gone_also_before_it_is_collected() -> None:
    assert is_alive(gone()) is False
    assert is_alive(zombie()) is False


def test_a_machine_that_was_started_again_runs_nothing_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    before = msgspec.structs.replace(HERE, boot="another", machine="m")
    monkeypatch.setattr("shuffle_worker.runtime.owner.this_process", lambda: msgspec.structs.replace(HERE, machine="m"))
    assert is_alive(before) is False


def job(path: Path, uid: str = "mine", overwrite: bool = True, operation: Any = None) -> Job:
    return Job(
        uid=uid, name="test", operation=operation or Repartition(), inputs=[Input(paths=["in"])],
        output=Output(path=str(path), overwrite=overwrite), workers=1, memory=1 << 30,
    )  # fmt: skip


def staged(
    output: Path, uid: str, owner: Owner | None, *names: str, overwrite: bool = True, arrays: bool = False
) -> None:
    folder = output / f"_shuffle-{uid}"
    folder.mkdir(parents=True)
    if owner is not None:
        (folder / "owner").write_bytes(msgspec.json.encode(Mark("theirs", overwrite, arrays, owner)))
    for name in names:
        (folder / name).write_bytes(b"")


def there(output: Path) -> list[str]:
    return sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("owner", "refused"), [(HERE, True), (None, True), (other(space="x"), True), (other(started=1), False)]
)
def test_only_one_replaces_an_output(tmp_path: Path, owner: Owner | None, refused: bool) -> None:
    storage = storage_for(str(tmp_path))
    staged(tmp_path, "theirs", owner, "replacing")
    if not refused:
        begin_replacing(storage, str(tmp_path), "mine")
        assert "_shuffle-mine/replacing" in there(tmp_path)
        return
    with pytest.raises(OutputExists, match="another job is replacing this output at the same moment"):
        begin_replacing(storage, str(tmp_path), "mine")
    assert "_shuffle-mine/replacing" not in there(tmp_path)


def test_a_commit_that_is_done_again_goes_on(tmp_path: Path) -> None:
    storage = storage_for(str(tmp_path))
    begin_replacing(storage, str(tmp_path), "mine")
    begin_replacing(storage, str(tmp_path), "mine")


def look(tmp_path: Path, asked: Job) -> Any:
    storage = storage_for(str(tmp_path))
    others = others_in(storage, str(tmp_path), asked.uid, there(tmp_path))
    check_others(asked, others)
    return others


def test_a_claim_removes_what_is_dead_and_nothing_else(tmp_path: Path) -> None:
    staged(tmp_path, "dead", other(started=1), "plan", "part-00000.parquet")
    staged(tmp_path, "cluster", None, "plan", "group-00000.json")
    staged(tmp_path, "elsewhere", other(space="x"), "plan")
    asked, storage = job(tmp_path), storage_for(str(tmp_path))
    claim(asked, storage, HERE, lambda one, _: look(tmp_path, one), undo)
    assert there(tmp_path) == [
        "_shuffle-cluster/group-00000.json", "_shuffle-cluster/plan", "_shuffle-elsewhere/owner",
        "_shuffle-elsewhere/plan", "_shuffle-mine/owner",
    ]  # fmt: skip
    assert len(notes_on(asked, look(tmp_path, asked))) == 1


@pytest.mark.parametrize("arrays", [False, True], ids=["tables", "arrays"])
@pytest.mark.parametrize("overwrite", [False, True], ids=["Fail", "Overwrite"])
@pytest.mark.parametrize("whole", ["_SUCCESS", "_shuffle-later/replacing"])
def test_a_whole_output_is_nobodys_leftover(tmp_path: Path, arrays: bool, overwrite: bool, whole: str) -> None:
    """A run that was killed right after its end, or whose place a later job has taken, left no files but its mark."""
    output = ["part-00000.parquet", "_manifest.json"] if not arrays else ["zarr.json", "a/c/0/0", "_manifest.json"]
    staged(tmp_path, "dead", other(started=1), "plan", overwrite=False, arrays=arrays)
    for name in (*output, whole):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    asked = job(tmp_path, overwrite=overwrite, operation=Rechunk(chunks={}) if arrays else Repartition())
    before = there(tmp_path)
    ending, remove = (arrays_commit.check_output, arrays_commit.undo) if arrays else (check_output, undo)
    if overwrite and whole == "_SUCCESS":
        claim(asked, storage_for(str(tmp_path)), HERE, ending, remove)
        assert there(tmp_path) == sorted([*output, whole, "_shuffle-mine/owner"])
        return
    with pytest.raises(OutputExists):
        claim(asked, storage_for(str(tmp_path)), HERE, ending, remove)
    assert there(tmp_path) == before


def test_a_commit_that_nobody_ended_is_known_before_the_work(tmp_path: Path) -> None:
    staged(tmp_path, "cluster", None, "plan", "replacing")
    with pytest.raises(OutputExists, match=r"If nothing writes there any more, remove .*/_shuffle-cluster"):
        look(tmp_path, job(tmp_path))


@pytest.mark.parametrize("error", [StorageUnavailable("away"), AccessDenied("no right")])
def test_a_mark_that_cannot_be_reached_is_no_missing_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: JobError
) -> None:
    def read(storage: LocalStorage, path: str) -> bytes:
        raise error

    staged(tmp_path, "living", HERE, "plan")
    monkeypatch.setattr(LocalStorage, "read", read)
    with pytest.raises(type(error)):
        look(tmp_path, job(tmp_path))


def test_a_run_that_was_given_up_is_over_although_its_process_lives(tmp_path: Path) -> None:
    staged(tmp_path, "over", other(held=True), "plan")
    (found,) = look(tmp_path, job(tmp_path))
    assert found.alive is False
    with hold("over"), pytest.raises(OutputExists, match="another run is writing"):
        look(tmp_path, job(tmp_path))


def test_a_claim_beside_a_living_run_leaves_no_mark(tmp_path: Path) -> None:
    staged(tmp_path, "living", HERE, "plan")
    with pytest.raises(OutputExists, match=f"job theirs, process {HERE.pid}"):
        claim(job(tmp_path), storage_for(str(tmp_path)), HERE, lambda one, _: look(tmp_path, one), undo)
    assert there(tmp_path) == ["_shuffle-living/owner", "_shuffle-living/plan"]


def test_what_others_are_writing_is_not_swept(tmp_path: Path) -> None:
    staged(tmp_path, "cluster", None, ".part-00000.parquet.x.partial")
    sweep(storage_for(str(tmp_path)), str(tmp_path), "mine")
    assert there(tmp_path) == ["_shuffle-cluster/.part-00000.parquet.x.partial"]


def test_a_mark_that_cannot_be_read_is_no_mark(tmp_path: Path) -> None:
    staged(tmp_path, "odd", None, "plan")
    (tmp_path / "_shuffle-odd/owner").write_bytes(b"{")
    (found,) = look(tmp_path, job(tmp_path))
    assert (found.mark, found.alive) == (None, None)


@pytest.mark.parametrize("arrays", [True, False], ids=["rechunk", "table"])
def test_what_a_killed_run_wrote_under_final_names_goes(tmp_path: Path, arrays: bool) -> None:
    """Of a run that found the folder empty, everything in it is its own."""
    from shuffle_worker.arrays import commit as of_arrays
    from shuffle_worker.planning.planner import check_output

    staged(tmp_path, "dead", None, "plan")
    mark = Mark("theirs", False, arrays, other(started=1))
    (tmp_path / "_shuffle-dead/owner").write_bytes(msgspec.json.encode(mark))
    (tmp_path / ("temperature/c/0" if arrays else "country=DE")).mkdir(parents=True)
    for name in ["temperature/c/0/1", "temperature/zarr.json"] if arrays else ["country=DE/part-00000.parquet"]:
        (tmp_path / name).write_bytes(b"x")
    storage = storage_for(str(tmp_path))
    asked = job(tmp_path, overwrite=False)
    if arrays:
        asked = msgspec.structs.replace(asked, operation=Rechunk(chunks={}, target_bytes=1))
        claim(asked, storage, HERE, of_arrays.check_output, of_arrays.undo)
    else:
        claim(asked, storage, HERE, check_output, undo)
    assert there(tmp_path) == ["_shuffle-mine/owner"]

"""The worker that commits is killed before or after it wrote the job's report: the output is whole, and has it. One
whose store hangs on the report lets the job end without."""

from __future__ import annotations

import pytest
from tests.jobs import data
from tests.jobs.harness import Bench, Watched, run_watched

from shuffle_operator.web.report import history_in
from shuffle_protocol.messages import LeaseKind, Phase


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_one_who_commits_is_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    source, reached = bench.root / "in", bench.root / "reached"
    data.write_events(source, files=2, rows=500, width=10)
    held = f"""
import os, time
from shuffle_worker.storage.local import LocalStorage
put = LocalStorage.put
def held(storage, path, data):
    report = path.endswith("_report.html") and not os.path.exists({str(reached)!r})
    if not report or {when!r} == "after":
        put(storage, path, data)
    if report:
        open({str(reached)!r}, "w").close()
        time.sleep(60)
LocalStorage.put = held
"""
    for name, value in bench.inject(held).items():
        monkeypatch.setenv(name, value)
    output = {"partitions": 3, "report": True}
    job = bench.loaded(bench.job({"sort": {"by": [{"column": "score"}]}}, source, output))

    async def kill(run: Watched) -> None:
        await run.until(reached.exists, "a report that is written")
        members = run.local.machine.state.members
        (committer,) = [n for n, live in members.items() if any(x.kind is LeaseKind.COMMIT for x in live.holding)]
        run.kill(committer)

    end, _ = await run_watched(bench, job, kill)
    assert end.phase is Phase.COMPLETE, end.cause
    assert end.workers_lost == 1
    history = history_in((bench.out / "_report.html").read_text(encoding="utf-8"))
    assert history.progress.phase is Phase.COMPLETE
    assert len(history.losses.lost) == 1
    assert history.output.rows == end.rows_written == 1_000
    assert len(list(bench.out.glob("part-*"))) == 3
    assert not list(bench.out.glob("_shuffle-*"))


async def test_a_store_that_hangs_on_the_report(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    source = bench.root / "in"
    data.write_events(source, files=2, rows=500, width=10)
    held = """
import time
import shuffle_worker.worker.leases as leases
from shuffle_worker.storage.local import LocalStorage
leases.REPORT_SECONDS = 0.2
put = LocalStorage.put
def held(storage, path, data):
    if path.endswith("_report.html"):
        time.sleep(2)
    put(storage, path, data)
LocalStorage.put = held
"""
    for name, value in bench.inject(held).items():
        monkeypatch.setenv(name, value)
    job = bench.loaded(bench.job({"sort": {"by": [{"column": "score"}]}}, source, {"partitions": 3, "report": True}))
    end, _ = await run_watched(bench, job)
    assert end.phase is Phase.COMPLETE, end.cause
    assert end.rows_written == 1_000
    assert "the job's report was not written: not within 0.2 s" in end.message
    assert len(list(bench.out.glob("part-*"))) == 3

"""Updates of a live page: put together they are the document, and each of them is small."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from shuffle_operator.history.document import JobHistory
from shuffle_operator.history.figures import WorkerState
from shuffle_operator.history.updates import LiveDocument, NumberedUpdate
from tests.history.plausible import largest, plausible

LIMIT = 64 << 10


class Page:
    """A page that takes updates, as docs/job-page.md says."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.seen = ""
        self.whole = False

    def take(self, live: LiveDocument, most: int | None = None) -> list[NumberedUpdate]:
        sent = list(live.since(self.seen))[:most]
        for one in sent:
            self.apply(one)
        return sent

    def apply(self, one: NumberedUpdate) -> None:
        assert len(one.data) < LIMIT
        update = msgspec.json.decode(one.data)
        if update.get("reset"):
            self.document = {}
        for path, size in update.get("length", {}).items():
            found = self.at(path)
            if found is not None:
                del found[size:]
        for path, value in update.get("set", {}).items():
            self.put(path, value)
        self.seen, self.whole = one.id, not update.get("more", False)

    def at(self, path: str) -> Any:
        found: Any = self.document
        for name in path.split("/"):
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def put(self, path: str, value: Any) -> None:
        *above, last = path.split("/")
        found: Any = self.document
        for n, name in enumerate(above):
            following = [*above, last][n + 1]
            found = found.setdefault(name, [] if following.isdigit() else {})
        if isinstance(found, list):
            found += [None] * (int(last) + 1 - len(found))
            found[int(last)] = value
        else:
            found[last] = value

    def is_like(self, history: JobHistory) -> bool:
        expected = msgspec.json.decode(msgspec.json.encode(history))
        for above, name in (("", "slowest"), ("", "workers"), ("losses", "lost"), ("marks", "marks")):
            found = self.document.setdefault(above, {}) if above else self.document
            found.setdefault(name, [])  # a list that was never filled
        return bool(self.document == expected)


@pytest.mark.parametrize("history", [plausible(), plausible(ending="running", lost=2), largest()], ids=["s", "r", "l"])
def test_a_new_page_gets_all_of_it(history: JobHistory) -> None:
    live, page = LiveDocument(), Page()
    live.show(history)
    page.take(live)
    assert page.whole
    assert page.is_like(history)
    assert page.take(live) == []
    assert page.seen == f"{live.stream}.{live.number}"


def test_a_job_that_goes_on_while_its_page_is_sent() -> None:
    """Updates are made one after the other, as a slow page takes them."""
    history = largest()
    live, page = LiveDocument(), Page()
    live.show(history)
    updates = live.since("")
    for step in range(6):
        page.apply(next(updates))
        columns = [column[1:] + column[:1] for column in history.timeline.columns]
        timeline = structs.replace(history.timeline, columns=columns)
        history = structs.replace(history, timeline=timeline, refused=step)
        live.show(history)
    for update in updates:
        page.apply(update)
    assert page.whole
    assert page.is_like(history)


def test_later_updates_have_what_is_new_alone() -> None:
    before, after = plausible(ending="running", columns=50, done=0.6), plausible(ending="running", columns=51, done=0.6)
    live, page = LiveDocument(), Page()
    live.show(before)
    page.take(live)
    assert not live.show(before)
    verdict = structs.replace(before.verdict, sentence="another")
    timeline = structs.replace(
        before.timeline,
        columns=[*before.timeline.columns, after.timeline.columns[-1]],
        memory=[*before.timeline.memory, after.timeline.memory[-1]],
        samples=[*before.timeline.samples, after.timeline.samples[-1]],
    )
    changed = structs.replace(before, verdict=verdict, timeline=timeline)
    assert live.show(changed)
    (sent,) = page.take(live)
    names = set(msgspec.json.decode(sent.data)["set"])
    assert names == {"verdict", "timeline/columns/50", "timeline/memory/50", "timeline/samples/50"}
    assert page.is_like(changed)


def test_lists_that_become_shorter() -> None:
    """Columns double their width: 240 become 120."""
    before, after = plausible(columns=240, workers=40, lost=9), plausible(columns=120, workers=40, lost=2)
    live, page = LiveDocument(), Page()
    for history in (before, after, before, after):
        while live.show(history):
            page.take(live)
        assert page.is_like(history)


def test_an_update_of_the_largest_job_is_small_when_every_worker_reports() -> None:
    """A second of 500 workers: each row is new, as are a column, its sample and the verdict. It fits one update, and
    rows are sent in turn until the page has all of them."""
    history = largest(columns=200)
    live, page = LiveDocument(), Page()
    live.show(history)
    page.take(live)

    def moved(worker: WorkerState) -> WorkerState:
        activity = structs.replace(worker.activity, read=worker.activity.read + 1.0)
        return structs.replace(worker, rows_read=worker.rows_read + 12_345, cpu=worker.cpu + 0.9, activity=activity)

    timeline, last = history.timeline, largest().timeline
    timeline = structs.replace(
        timeline,
        columns=[*timeline.columns, last.columns[-1]],
        memory=[*timeline.memory, last.memory[-1]],
        samples=[*timeline.samples, last.samples[-1]],
    )
    workers = [moved(worker) for worker in history.workers]
    matrix = structs.replace(history.matrix, bytes=[[n + 1 for n in row] for row in history.matrix.bytes])
    history = structs.replace(history, workers=workers, timeline=timeline, matrix=matrix)
    seconds = 0
    while live.show(history):
        (sent,) = page.take(live)
        assert len(sent.data) < LIMIT
        seconds += 1
    assert page.is_like(history)
    assert 2 < seconds < 12


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_page_that_connects_again_goes_on_where_it_was(most: int) -> None:
    live, page = LiveDocument(), Page()
    histories = [largest(columns=60 + n) for n in range(3)]
    for history in histories:
        live.show(history)
        page.take(live, most)  # and then the connection breaks
    while live.show(histories[-1]) or page.take(live, most):
        pass
    assert page.whole
    assert page.is_like(histories[-1])


@pytest.mark.parametrize("seen", ["", "x", "ffff.12", "ffff.", ".", "1.2.3", "9" * 500, "ffff.-1", "ffff.²"])
def test_who_comes_from_elsewhere_begins_anew(seen: str) -> None:
    live, page = LiveDocument(stream="abcd"), Page()
    live.show(plausible())
    page.seen = seen
    (first, *_) = page.take(live)
    assert msgspec.json.decode(first.data)["reset"] is True
    assert page.is_like(plausible())


def test_a_part_that_is_larger_than_an_update_goes_alone() -> None:
    history = plausible()
    history = structs.replace(history, verdict=structs.replace(history.verdict, sentence="x" * (60 << 10)))
    live, page = LiveDocument(), Page()
    live.show(history)
    page.take(live)
    assert page.is_like(history)

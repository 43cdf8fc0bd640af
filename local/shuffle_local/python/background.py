"""What runs in a thread with an event loop of its own, while the caller shows how far it is.

So a job runs the same with and without a loop in the caller's thread (a notebook has one), and a caller that computes
for a minute does not keep its workers waiting. Whatever ends the caller's waiting (Ctrl-C, a cancelled task, a progress
function that raises, the end of the interpreter) ends the work first.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from shuffle_operator.coordinator.actions import Note
from shuffle_operator.coordinator.status import Snapshot

T = TypeVar("T")

REDRAW = 0.2
"""Seconds between looks at how far it is."""
LAST_SECONDS = 20.0
"""That the work may take to end where the interpreter does."""

Show = Callable[[Snapshot], None]


class Showing(Protocol):
    """What progress is shown by: a context manager."""

    def __enter__(self) -> Showing: ...

    def __exit__(self, *error: Any) -> None: ...

    def show(self, now: Snapshot) -> None: ...

    def note(self, note: Note) -> None:
        """Something happened. In any thread."""
        ...


class Background(Generic[T]):
    """work: is given a function that takes snapshots. stop, give_up: called in the work's loop, to have it end in
    order, and at once; without them its task is cancelled."""

    def __init__(
        self,
        work: Callable[[Show], Coroutine[Any, Any, T]],
        stop: Callable[[], None] | None = None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        self.latest: Snapshot | None = None
        self._work, self._stop, self._give_up = work, stop, give_up
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._began, self._ended = threading.Event(), threading.Event()
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._when_ended: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="shuffle", daemon=True)

    def start(self, when_ended: Callable[[], None] | None = None) -> None:
        """when_ended: called in the work's thread, last of all."""
        self._when_ended = when_ended
        _living.add(self)
        self._thread.start()
        self._began.wait()

    def wait(self, seconds: float | None) -> bool:
        """Whether it has ended, within so many seconds."""
        return self._ended.wait(seconds)

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def result(self) -> T:
        """Of work that has ended. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def stop(self) -> None:
        """Have it end, in order. Does not wait for that."""
        self._in_its_loop(self._stop or self._cancel)

    def give_up(self) -> None:
        """Have it end at once."""
        self._in_its_loop(self._give_up or self._cancel)

    def _in_its_loop(self, what: Callable[[], None]) -> None:
        if self.started:
            self._began.wait()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended, and its loop is closed
                self._loop.call_soon_threadsafe(what)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        try:
            self._results.append(asyncio.run(self._main()))
        except BaseException as error:  # handed over to who waits
            self._error = error
        finally:
            self._began.set()
            _living.discard(self)
            self._ended.set()
            if self._when_ended is not None:
                self._when_ended()

    async def _main(self) -> T:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._work(self._show))
        self._began.set()
        return await self._task

    def _show(self, now: Snapshot) -> None:
        self.latest = now


def in_foreground(work: Background[T], showing: Showing) -> T:
    """Run it and wait for it, in the calling thread."""
    try:
        with showing:
            work.start()
            while not work.wait(REDRAW):
                if work.latest is not None:
                    showing.show(work.latest)
            if work.latest is not None:
                showing.show(work.latest)
    except BaseException:
        _end(work)
        raise
    return work.result()


def _end(work: Background[T]) -> None:
    """Stop it and wait; another Ctrl-C does not wait for what an absent store delays."""
    try:
        work.stop()
        while work.started and not work.ended:
            work.wait(REDRAW)
    except KeyboardInterrupt:
        work.give_up()
        work.wait(None)


async def in_loop(work: Background[T], showing: Showing) -> T:
    """Run it and wait for it, in an event loop that stays free meanwhile."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def ended() -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody waits
            loop.call_soon_threadsafe(over.set)

    try:
        with showing:
            work.start(ended)
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), REDRAW)
                if work.latest is not None:
                    showing.show(work.latest)
    except BaseException:
        work.stop()
        while work.started and not work.ended:
            try:
                await over.wait()
            except asyncio.CancelledError:
                work.give_up()
        raise
    return work.result()


_living: weakref.WeakSet[Background[Any]] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """The interpreter ends: so does what still runs, as far as it can in a moment."""
    left = list(_living)
    for work in left:
        work.stop()
    for work in left:
        if not work.wait(LAST_SECONDS):
            work.give_up()
            work.wait(LAST_SECONDS)

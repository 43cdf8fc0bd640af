"""The client for code without an event loop: the same methods, each waiting for its answer.

It runs the asynchronous client in a loop of its own, in a thread of its own, so it also works inside of a notebook,
where a loop is running already.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from shuffle_operator.client.client import Client as AsyncClient
from shuffle_operator.client.client import JobLike
from shuffle_operator.client.job import SubmittedJob

T = TypeVar("T")


class Client:
    """See `client.Client`. Use as a context manager, or call `close`."""

    def __init__(self, namespace: str | None = None, context: str | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shuffle-client", daemon=True)
        self._thread.start()
        try:
            self._client = self._wait(AsyncClient.connect(namespace, context))
        except BaseException:
            self._end()
            raise

    @property
    def namespace(self) -> str:
        return self._client.namespace

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._wait(self._client.close())
        self._end()

    def submit(self, job: JobLike, *, name: str | None = None, adopt: bool = False) -> SubmittedJob:
        return self._wait(self._client.submit(job, name=name, adopt=adopt))

    def get(self, name: str) -> SubmittedJob | None:
        return self._wait(self._client.get(name))

    def jobs(self) -> list[SubmittedJob]:
        return self._wait(self._client.jobs())

    def watch(self, name: str) -> Iterator[SubmittedJob]:
        changes = self._client.watch(name)
        while (job := self._wait(_next(changes))) is not None:
            yield job

    def wait(self, name: str, timeout: float | None = None, *, check: bool = False) -> SubmittedJob:
        return self._wait(self._client.wait(name, timeout, check=check))

    def cancel(self, name: str, *, uid: str = "") -> bool:
        return self._wait(self._client.cancel(name, uid=uid))

    def suspend(self, name: str) -> bool:
        return self._wait(self._client.suspend(name))

    def resume(self, name: str) -> bool:
        return self._wait(self._client.resume(name))

    def annotate(self, name: str, annotations: Mapping[str, str]) -> bool:
        return self._wait(self._client.annotate(name, annotations))

    def logs(self, name: str, worker: int | None = None, lines: int | None = None) -> dict[str, str]:
        return self._wait(self._client.logs(name, worker, lines))

    def follow(self, name: str, worker: int | None = None, lines: int | None = None) -> Iterator[tuple[str, str]]:
        coming = self._client.follow(name, worker, lines)
        try:
            while (line := self._wait(_next(coming))) is not None:
                yield line
        finally:
            self._wait(coming.aclose())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(coming: AsyncIterator[T]) -> T | None:
    return await anext(coming, None)

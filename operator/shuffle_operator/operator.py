"""The operator: one process that watches, coordinates, and answers: probes and Prometheus on one port, workers on
another with TLS, or without TLS on the same.

kopf's watch --> cache --> queue --> reconcile --> Kubernetes
                              ^          |
    workers --> HTTP API --> machines <--+        ticker: time for the machines
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.status import snapshot
from shuffle_operator.handlers import policies
from shuffle_operator.handlers.active import ActiveJob, World
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.job_pages import JobPages
from shuffle_operator.handlers.queue import WorkQueue
from shuffle_operator.handlers.reconcile import Reconciler
from shuffle_operator.handlers.recorder import Recorder
from shuffle_operator.handlers.statuses import Outcome
from shuffle_operator.handlers.watch import Watch
from shuffle_operator.kube.api import ApiKube, Kube, KubeError, Object
from shuffle_operator.launchers.pod import PodSettings
from shuffle_operator.metrics import Began, Metrics, Readings, WorkSums
from shuffle_operator.server.http import CoordinatorServer, passing
from shuffle_operator.settings import OperatorSettings, dashboard_token
from shuffle_operator.tls.authority import Authority
from shuffle_operator.tls.contexts import JobContexts
from shuffle_operator.tls.seed import load_seed
from shuffle_operator.web.access import ByTokenFile
from shuffle_operator.web.server import DashboardServer
from shuffle_protocol.messages import Phase
from shuffle_protocol.release import described

log = logging.getLogger("shuffle.operator")

TICK = 1.0
STUCK = 120.0
"""Seconds for which the ticker may not tick; then the operator says that it is not well, and is started anew. Nothing
else is a reason for that: what the API server does or does not do would be the same afterwards, and workers would have
nobody to talk to until it answers."""


class Operator:
    """`run` returns when it is to stop; raises when it cannot go on, to be started anew."""

    def __init__(self, settings: OperatorSettings, kube: Kube, machine_settings: Settings | None = None) -> None:
        self.settings = settings
        self.kube = kube
        self.server = CoordinatorServer(unhosted=lambda uid: self.reconciler.unhosted(uid))
        self.recorder = Recorder(kube, settings.pod)
        self.queue = WorkQueue(self._pass)
        self.cache = Cache(self.queue.wake)
        pods = PodSettings(
            image=settings.worker_image,
            coordinator=settings.address,
            secure=settings.tls_address,
            pull_policy=settings.worker_image_pull_policy,
            scratch=settings.default_scratch,
            unsafe=settings.allow_unsafe_pods,
            instance=settings.instance,
            log_level=settings.worker_log_level,
            isolated=settings.network_policies,
            orphaned=settings.orphaned,
        )
        world = World(kube, self.server, self.recorder, pods, machine_settings or Settings(), self.queue.wake)
        world.restrictions = settings.restrictions
        world.most_jobs = settings.max_running_jobs
        self.reconciler = Reconciler(world, self.cache)
        self.watch = Watch(self.cache, kube, settings.namespaces)
        readings = Readings(
            phases=self._phases,
            work=self._work,
            requests=lambda: kube.requests,
            depth=lambda: self.queue.depth,
            oldest=lambda: self.queue.oldest,
            refused=lambda: self.server.refused,
            silent=lambda: self.watch.silent,
            dropped=lambda: self.recorder.dropped,
        )
        self.metrics = Metrics(readings)
        self.queue.watcher = self.metrics
        self.pages = JobPages(self.reconciler, self.cache)
        self.reconciler.let_go = self._let_go
        self.reconciler.writer.concluded = self._concluded
        self.reconciler.superseded = self._superseded
        self._other = asyncio.Event()
        self.ready = asyncio.Event()
        self._ticked = time.monotonic()
        self.server.app.add_routes([web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)])
        self.server.health = self._health

    async def run(self, stop: asyncio.Event) -> None:
        address = await self.server.start(self.settings.host, self.settings.port)
        log.info("shuffle-operator %s", described())
        log.info("answering at %s; workers call %s", address, self.settings.tls_address or self.settings.address)
        tasks: list[asyncio.Task[Any]] = []
        pages: DashboardServer | None = None
        try:
            pages = await self._serve_pages()
            if self.settings.tls_address:
                await self._persistently("the seed of certificates cannot be had", self._secure)
            # List everything before anything is decided, and before an answer says that a job is unknown.
            await self._persistently("the jobs cannot be listed", self.watch.relist)
            tasks = [
                asyncio.create_task(self.recorder.run(), name="recorder"),
                asyncio.create_task(self._tick(), name="ticker"),
                asyncio.create_task(self._list(), name="relist"),
                asyncio.create_task(self.watch.run(stop, self.ready), name="watch"),
                asyncio.create_task(self._other.wait(), name="another operator"),
                asyncio.create_task(stop.wait(), name="stop"),
            ]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self._other.is_set():
                raise RuntimeError("another operator is at work in this one's place; this one stops")
            if not stop.is_set():
                raise RuntimeError(f"{', '.join(t.get_name() for t in done)} ended by itself")
        finally:
            stop.set()
            await self.queue.close()
            await self.recorder.drain()
            for task in tasks:
                if task.get_name() != "watch":
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if pages is not None:
                await pages.stop()
            await self.server.stop()
            await self.kube.close()

    def _let_go(self, active: ActiveJob) -> None:
        self.metrics.let_go(work_of([active]), began(active))
        if self.settings.dashboard_port:
            self.pages.ended(active)

    async def _serve_pages(self) -> DashboardServer | None:
        """The jobs' pages, on a port of their own, behind their token."""
        settings = self.settings
        if not settings.dashboard_port:
            return None
        access = ByTokenFile(lambda: dashboard_token(settings.dashboard_token_file))
        server = DashboardServer(self.pages, access)
        address = await server.start(settings.host, settings.dashboard_port)
        log.info("serving the jobs' pages at %s", address)
        return server

    def _superseded(self, why: str) -> None:
        log.error("%s: this one stops", why)
        self._other.set()

    async def _secure(self) -> None:
        """Open the port with TLS, with certificates out of the operators' seed."""
        settings = self.settings
        authority = Authority(await load_seed(self.kube, settings.pod_namespace, settings.seed_secret))
        self.reconciler.world.authority = authority
        contexts = JobContexts(authority.for_coordinator)
        address = await self.server.start_secure(contexts, settings.host, settings.tls_port)
        log.info("answering workers with TLS at %s", address)

    async def _persistently(self, trouble: str, work: Callable[[], Awaitable[None]]) -> None:
        pause = 0.5
        while True:
            try:
                await work()
                return
            except KubeError as error:
                log.warning("%s: %s", trouble, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)

    async def _list(self) -> None:
        await self.ready.wait()
        await self.watch.keep_listing()  # the first time at once: what went between the listing and the watch

    async def _pass(self, uid: str) -> float | None:
        try:
            return await self.reconciler.reconcile(uid)
        except KubeError as error:
            self.watch.unanswered(error)
            raise

    async def _tick(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            self.metrics.loop_lag.set(max(0.0, time.monotonic() - before - TICK))
            self.reconciler.tick()
            self._ticked = time.monotonic()

    # -- health ------------------------------------------------------------------------------------------------------

    def _health(self) -> str:
        """What is wrong with this process; "" where all is well."""
        still = time.monotonic() - self._ticked
        if self.cache.loaded and still > STUCK:
            return f"the machines' clock has stood still for {still:.0f} s"
        return ""

    async def _readyz(self, _request: web.Request) -> web.Response:
        text = "ok"
        if not (self.cache.loaded and self.ready.is_set()):
            text = "not watching yet"
        elif self.watch.silent:
            why = self.watch.trouble or "no word of it"
            text = f"the API server has not answered for {self.watch.silent:.0f} s: {why}"
        return passing(web.Response(text=text, status=200 if text == "ok" else 503))

    async def _metrics(self, _request: web.Request) -> web.Response:
        return passing(web.Response(body=self.metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4"}))

    def _phases(self) -> Counter[str]:
        counts = Counter(dict.fromkeys(map(str, (Phase.PENDING, Phase.COMPLETE, Phase.FAILED, Phase.SUSPENDED)), 0))
        for uid in self.cache.jobs():
            body = self.cache.job(uid) or {}
            counts[str((body.get("status") or {}).get("phase") or "Pending")] += 1
        return counts

    def _concluded(self, body: Object, outcome: Outcome) -> None:
        started = policies.started_at(body)
        seconds = (self.reconciler.world.wall() - started).total_seconds() if started is not None else None
        self.metrics.finished(outcome.reason, seconds)

    def _work(self) -> WorkSums:
        return work_of(self.reconciler.active.values())


def work_of(jobs: Iterable[ActiveJob]) -> WorkSums:
    """What jobs have done under this operator, for the counters: they begin at 0 with the process."""
    work = WorkSums.none()
    for active in jobs:
        told, before = snapshot(active.state, active.world.clock()), active.state.earlier
        work.bytes.update(
            read=told.bytes_read - before.bytes_read,
            sent=told.bytes_sent - before.bytes_sent,
            spilled=told.bytes_spilled - before.bytes_spilled,
            written=told.bytes_written,
        )
        work.rows.update(read=told.rows_read, received=told.rows_received, written=told.rows_written)
        work.lost.update(
            failure=told.failures - before.failures,
            disruption=told.disruptions - before.disruptions,
        )
        work.redone.update(read=told.splits_redone - told.splits_resent, resent=told.splits_resent)
        waits = active.state.waits
        work.store.update(outages=waits.outages, seconds=int(waits.seconds))
    return work


def began(active: ActiveJob) -> Began:
    """How a job began. One that was taken over began under another operator."""
    state = active.state
    queued = first = None
    if state.generation == 0 and state.started_at is not None:
        since = active.world.clock() - state.started_at
        created = policies.created_at(active.body)
        if created is not None:
            queued = (active.world.wall() - created).total_seconds() - since
        if state.first_worker_at is not None:
            first = state.first_worker_at - state.started_at
    return Began(queued, first, state.barrier_wait)


async def run_operator(settings: OperatorSettings) -> None:
    """Wait for SIGTERM or SIGINT. Workers are left as they are: the next operator takes their jobs over."""
    kube = await ApiKube.connect()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    await Operator(settings, kube).run(stop)

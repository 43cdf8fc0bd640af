"""A worker process: puts the parts together and runs the agent until the job is over.

    main thread      event loop: server, sync loop, frames in and out
    compute threads  the steps of leases, one thread a slot
    store threads    checksums and copies of received frames, spilling, loading the plan
    finish threads   the end of writes, which waits for the disk or the store

Started by a launcher with a `WorkerConfig` (see `__main__.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from shuffle_protocol.memory import Budgets
from shuffle_protocol.messages import Counters
from shuffle_protocol.tls import Tls
from shuffle_worker.functions.process import cpu_of_all, end_all
from shuffle_worker.runtime.pressure import keep_below, resident
from shuffle_worker.runtime.settings import WorkerConfig
from shuffle_worker.runtime.stopwatch import spent
from shuffle_worker.storage import Storages
from shuffle_worker.storage.retry import OUTAGE, PATIENCE
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.http import HttpControl
from shuffle_worker.transfer.http_peers import HttpPeers
from shuffle_worker.transfer.http_server import PeerServer
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.transport import Orphaned, Over, Refused
from shuffle_worker.transfer.work import WorkSetup
from shuffle_worker.worker.agent import Agent, AgentSettings
from shuffle_worker.worker.exchanges import Exchanges
from shuffle_worker.worker.measuring import ReceivedReports
from shuffle_worker.worker.works import Works

log = logging.getLogger("shuffle.worker")

STORE_THREADS = 2
REFUSED_EXIT = 78
"""Exit code when the coordinator will not have this worker (sysexits.h: EX_CONFIG)."""


class Gauges:
    """What the process measures of itself, for `Counters`."""

    def __init__(self) -> None:
        self._cpu = 0.0

    def cpu(self) -> float:
        """Seconds of processor time, with the processes of functions, those that live and those that ended."""
        usages = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        found = sum(usage.ru_utime + usage.ru_stime for usage in usages) + cpu_of_all()
        self._cpu = max(self._cpu, found)  # one that ends just now may be in neither
        return self._cpu

    def memory_peak(self) -> int:
        """Not `ru_maxrss`, which begins with what the process that started this one had."""
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return resident()


def runner(pool: ThreadPoolExecutor) -> Callable[..., Awaitable[Any]]:
    """Runs a blocking function in the pool."""

    async def run(function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

    return run


async def run_worker(config: WorkerConfig) -> int:
    """Returns the process's exit code."""
    pa.set_cpu_count(max(1, config.slots))
    pa.set_io_thread_count(2)
    PATIENCE.seconds = config.storage_retry
    keep_below(config.memory - config.functions)
    budgets = Budgets.for_limit(config.memory, slots=config.slots, functions=config.functions)
    gauges = Gauges()
    compute_pool = ThreadPoolExecutor(config.slots, thread_name_prefix="compute")
    store_pool = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
    finish_pool = ThreadPoolExecutor(config.slots, thread_name_prefix="finish")
    aside = runner(store_pool)
    membership = Membership(config.worker, config.incarnation)
    inbox = Inbox(membership, aside, budgets.receive)
    tls = Tls(config.tls, config.job) if config.tls else None
    server = PeerServer(config.job, config.token, inbox, config.host, config.port, tls=tls)
    address = advertised(await server.start(), config.advertise)
    peers = HttpPeers(config.token, tls=tls)
    control = HttpControl(config.coordinator, config.token, config.job, tls=tls)
    scratch = made(Path(config.scratch))
    storages = Storages()
    send_budget = ByteBudget(budgets.send)
    compute = runner(compute_pool)
    exchanges = Exchanges(config, budgets, scratch, storages, membership, inbox, peers, send_budget, compute, aside)

    now = asyncio.get_running_loop().time

    def observe() -> Counters:
        held = exchanges.stats()
        return Counters(
            spilled=held.spilled,
            memory_peak=gauges.memory_peak(),
            refused=inbox.refused + server.unauthorized + server.malformed,
            repeated=inbox.repeated,
            corrupt=inbox.corrupt,
            cpu=gauges.cpu(),
            resident=resident(),
            receiving_blocked=inbox.blocked(now()),
            spent=msgspec.structs.replace(spent(), blocked=send_budget.waited(now())),
        )

    agent = Agent(
        worker=config.worker,
        incarnation=config.incarnation,
        address=address,
        slots=config.slots,
        memory=config.memory,
        control=control,
        membership=membership,
        choose=Works(WorkSetup(budgets, scratch, config.scratch_share, config.scratch_limit, config.owner, storages)),
        open_exchange=exchanges.open,
        compute=compute,
        aside=aside,
        finish=runner(finish_pool),
        observe=observe,
        report=control.report,
        received=ReceivedReports(inbox.received),
        waiting_reason=lambda: OUTAGE.said,
        settings=AgentSettings(orphaned=config.orphaned),
    )
    orphaned = end_when_asked(agent, config)
    try:
        return await run_to_its_end(agent)
    finally:
        await server.stop()
        await peers.close()
        await control.close()
        end_all()
        for pool in (compute_pool, finish_pool, store_pool):
            pool.shutdown(wait=True, cancel_futures=True)
        exchanges.close()
        shutil.rmtree(scratch, ignore_errors=True)
        if orphaned.is_set():
            with contextlib.suppress(OSError):  # others are still in it: the last worker tidies up for the launcher
                scratch.parent.rmdir()


def advertised(address: str, host: str) -> str:
    """The address that peers use. address: where the server listens; host: "" where that is the one."""
    if not host:
        return address
    named = f"[{host}]" if ":" in host else host
    return f"{named}:{address.rpartition(':')[2]}"


def end_when_asked(agent: Agent, config: WorkerConfig) -> threading.Event:
    """The worker leaves on a signal and, where it watches standard input, when the process that started it is gone.
    Returns what is set in the second case."""
    main = asyncio.current_task()
    assert main is not None
    loop = asyncio.get_running_loop()
    leave = once(main.cancel)
    farewell = Farewell(agent, leave, config.linger, config.grace)
    loop.add_signal_handler(signal.SIGTERM, farewell.begin)
    loop.add_signal_handler(signal.SIGINT, leave)
    orphaned = threading.Event()

    def orphan() -> None:
        orphaned.set()
        loop.call_soon_threadsafe(leave)

    if config.watch_stdin:
        watch_stdin(orphan)
    return orphaned


async def run_to_its_end(agent: Agent) -> int:
    """Returns the process's exit code."""
    try:
        await agent.run()
        return 0
    except Over as error:
        log.info("%s", error)
        return 0
    except Orphaned as error:
        log.error("%s", error)
        return 0  # nobody's fault: a coordinator that comes after all starts another in its place
    except Refused as error:
        log.error("%s", error)
        print(f"refused by the coordinator: {error}", file=sys.stderr)  # noqa: T201
        return REFUSED_EXIT
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def once(function: Callable[[], object]) -> Callable[[], None]:
    """Told twice to leave, a worker must not be torn out of its tidying up."""
    called = False

    def call() -> None:
        nonlocal called
        if not called:
            called = True
            function()

    return call


class Farewell:
    """What a worker does on SIGTERM.

    It hands over what it owns, and leaves when the coordinator says that nothing of it is needed any more, after
    `grace` seconds at the latest. In a cluster the pods of a deleted job get SIGTERM at the moment its
    coordinator learns of it. Somebody must still remove what was written, so workers ask for `linger` seconds whether
    that is so, and if it is they stay until it is done. Told twice, they leave at once."""

    POLL = 0.05

    def __init__(self, agent: Agent, leave: Callable[[], object], linger: float, grace: float) -> None:
        self._agent = agent
        self._leave = leave
        self._linger = linger
        self._grace = grace
        self._told = False

    def begin(self) -> None:
        latest = max(self._grace, self._linger)
        if self._told or latest <= 0:
            self._leave()
            return
        self._told = True
        self._agent.leave()
        loop = asyncio.get_running_loop()
        loop.call_later(self._linger, self._look)
        loop.call_later(latest, self._leave)

    def _look(self) -> None:
        if self._agent.released and not self._agent.aborting:
            self._leave()
        else:
            asyncio.get_running_loop().call_later(self.POLL, self._look)


def watch_stdin(gone: Callable[[], object]) -> None:
    """Call `gone` when standard input ends."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 1024):
                pass
        with contextlib.suppress(RuntimeError):
            gone()

    threading.Thread(target=wait, name="stdin", daemon=True).start()

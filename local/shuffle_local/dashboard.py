"""The page of a job that runs on this machine, on loopback, for as long as it runs."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
import webbrowser
from dataclasses import dataclass

from shuffle_local.run import LocalRun
from shuffle_operator.history.document import JobHistory, JobList
from shuffle_operator.history.telling import line_of
from shuffle_operator.web.access import ByLoopback
from shuffle_operator.web.server import DashboardServer

HOST = "127.0.0.1"

LINGER = 3.0
"""Seconds that the end of the job may take to open pages."""


class PortTaken(Exception):
    """The port cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class OneJob:
    """Implements `server.Jobs` for the one that runs here."""

    run: LocalRun

    def jobs(self) -> JobList:
        return JobList([line_of(self.run.machine.state, now=time.monotonic(), wall=time.time())], 0)

    def history(self, uid: str) -> JobHistory | None:
        return self.run.history() if uid == self.run.machine.state.job.uid else None


@dataclass(slots=True)
class LocalDashboard:
    """A page that is served. `close` when the job is over."""

    server: DashboardServer
    address: str
    """Of the job's page."""

    @classmethod
    async def open(cls, run: LocalRun, port: int) -> LocalDashboard:
        """port: 0 for any that is free. Raises PortTaken."""
        server = DashboardServer(OneJob(run), ByLoopback())
        try:
            base = await server.start(HOST, port)
        except (OSError, OverflowError) as error:
            raise PortTaken(_why(port, error)) from None
        return cls(server, f"{base}/jobs/{run.machine.state.job.uid}")

    async def close(self) -> None:
        """Pages that are open have the end of the job first."""
        await self.server.drain(LINGER)
        await self.server.stop()


def _why(port: int, error: OSError | OverflowError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} is taken on this machine; name another one, or none for any that is free"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"port {port} is not for this user; name one above 1023, or none for any that is free"
    return f"nothing can listen at {HOST}:{port}: {error}"


def show_in_browser(address: str) -> bool:
    """Open a page in a browser, where there is one with a screen; returns whether there is. A browser in the terminal
    would take it from the job."""
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not (screen or os.environ.get("BROWSER")) or not sys.stderr.isatty():
        return False
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False

    def open_it() -> None:
        with contextlib.suppress(webbrowser.Error, OSError):
            browser.open(address)

    threading.Thread(target=open_it, name="browser", daemon=True).start()  # some return when they are closed
    return True

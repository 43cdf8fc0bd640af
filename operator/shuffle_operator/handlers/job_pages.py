"""The jobs of this operator as their pages show them: those that run, those that ended under it, and, in the list
alone, those of which nothing is left but the resource."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from shuffle_operator.coordinator.phases import TERMINAL
from shuffle_operator.handlers import policies
from shuffle_operator.handlers.active import ActiveJob
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.reconcile import Reconciler
from shuffle_operator.history.archive import Archive
from shuffle_operator.history.document import JobHistory, JobLine, JobList
from shuffle_operator.history.redact import said
from shuffle_operator.history.telling import line_of
from shuffle_operator.kube.api import Object
from shuffle_protocol.messages import Phase

log = logging.getLogger("shuffle.pages")

MOST = 500
"""Jobs in the list."""


@dataclass(frozen=True, slots=True)
class JobPages:
    """Implements `web.server.Jobs`."""

    reconciler: Reconciler
    cache: Cache
    archive: Archive = field(default_factory=Archive)

    def jobs(self) -> JobList:
        """All namespaces that are served, the newest first."""
        active = self.reconciler.active
        lines = [self._line(one) for one in list(active.values())]
        kept = [line for line in self.archive.lines() if line.uid not in active]
        known = active.keys() | {line.uid for line in kept}
        bodies = [body for uid in self.cache.jobs() if uid not in known and (body := self.cache.job(uid)) is not None]
        lines += [*kept, *map(line_by_status, bodies)]
        lines.sort(key=lambda line: -line.started)
        return JobList(lines[:MOST], max(0, len(lines) - MOST))

    def history(self, uid: str) -> JobHistory | None:
        active = self.reconciler.active.get(uid)
        return self.archive.history(uid) if active is None else active.told()

    def ended(self, active: ActiveJob) -> None:
        """A job does no more under this operator. That its history cannot be kept is no reason not to let it go."""
        if not active.state.over:
            return
        try:
            self.archive.keep(active.told(), self._line(active))
        except Exception as error:
            log.error("%s/%s: its history cannot be kept", active.namespace, active.name, exc_info=error)

    def _line(self, active: ActiveJob) -> JobLine:
        world = active.world
        wall = world.wall().timestamp()
        return line_of(active.state, now=world.clock(), wall=wall, namespace=active.namespace)


def line_by_status(body: Object) -> JobLine:
    """What a resource says of itself."""
    metadata, status = body["metadata"], body.get("status") or {}
    begin = policies.started_at(body) or policies.created_at(body)
    end = policies.time_of(status.get("completionTime"))
    try:
        phase = Phase(str(status.get("phase") or Phase.PENDING))
    except ValueError:
        phase = Phase.PENDING
    return JobLine(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        namespace=str(metadata.get("namespace", "")),
        phase=phase,
        percent=_number(status.get("progress")),
        message=said(str(status.get("message") or ""))[:500],
        seconds=(end - begin).total_seconds() if begin is not None and end is not None else 0.0,
        started=begin.timestamp() if begin is not None else 0.0,
        workers=0,
        rows_read=int(_number((status.get("rows") or {}).get("read"))),
        bytes_written=int(_number((status.get("bytes") or {}).get("written"))),
        over=phase in TERMINAL,
    )


def _number(found: object) -> float:
    return float(found) if isinstance(found, int | float) else 0.0

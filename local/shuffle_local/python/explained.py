"""What a job would do: the plan of `shuffle explain`, as text, as HTML and as data."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shuffle_local.python import hypertext
from shuffle_protocol.messages import PlanNode

if TYPE_CHECKING:
    from shuffle_protocol.jobs import Job
    from shuffle_worker.arrays.explain import RechunkExplanation
    from shuffle_worker.plan.explained import Explanation


@dataclass(frozen=True, slots=True, repr=False)
class JobPlan:
    """Printed, it is what `shuffle explain` shows. details: the same as data (docs/json.md)."""

    details: Explanation | RechunkExplanation
    warnings: tuple[str, ...] = ()
    """What this machine does not have."""

    @property
    def seconds(self) -> float:
        """About how long the job takes."""
        return self.details.seconds

    @property
    def memory_needed(self) -> int:
        """The least bytes that each worker needs."""
        return self.details.work.memory_needed

    @property
    def tree(self) -> PlanNode | None:
        return self.details.tree

    @property
    def notes(self) -> list[str]:
        """What people should know."""
        return [*self.warnings, *self.details.notes]

    def __repr__(self) -> str:
        return "\n".join(map(hypertext.clean, self._lines()))

    def _lines(self) -> Iterator[str]:
        from shuffle_local.cli.explain import heading
        from shuffle_local.cli.plan_tree import plain_lines

        of_workers, of_scratch = heading(self.details)
        yield from (f"Warning: {each}" for each in self.warnings)
        yield self.details.job + of_workers
        yield of_scratch
        if self.tree is not None:
            yield from plain_lines(self.tree)
        yield from self.details.notes

    def _repr_html_(self) -> str:
        from shuffle_local.cli.explain import heading

        of_workers, of_scratch = heading(self.details)
        notes = "".join(f"<div>{hypertext.text(note)}</div>" for note in self.notes)
        steps = hypertext.tree(self.tree) if self.tree is not None else ""
        return (
            f"{hypertext.heading('Plan of', self.details.job, of_workers)}<div>{hypertext.text(of_scratch)}</div>"
            f"{steps}{notes}"
        )


async def plan_of_async(job: Job) -> JobPlan:
    """`plan_of` in a thread. Where this is cancelled its process is ended."""
    from shuffle_local.ahead import start_planner
    from shuffle_local.cli.planning import stop

    process = start_planner()
    try:
        return await asyncio.to_thread(plan_of, job, process)
    except BaseException:
        await asyncio.to_thread(stop, process)
        raise


def plan_of(job: Job, process: subprocess.Popen[bytes] | None = None) -> JobPlan:
    """Makes the plan, in a process of its own; nothing is started or written. process: as `explanation_of` has it.
    Raises JobError where a run would be refused."""
    from shuffle_local.cli.explain import decoded
    from shuffle_local.cli.machine import warnings
    from shuffle_local.cli.planning import explanation_of

    found = decoded(job, explanation_of(job, process))
    return JobPlan(found, tuple(warnings(job.workers, job.memory)))

"""`ShuffleJob`: the resource with verbs. It can be explained and run here, submitted to a cluster, and written as YAML.

It is made by `read_parquet(...)...write_parquet(...)`, from YAML (`ShuffleJob.from_yaml`), or of the resource's models.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from shuffle_local.python.arguments import Calls
from shuffle_local.python.bodies import Body, naming
from shuffle_local.python.display import Progress
from shuffle_local.python.settings import JobSettings, memory_bytes, worker_count
from shuffle_local.python.typed import Quantity
from shuffle_operator.api import spec
from shuffle_operator.api.spec import API_VERSION, KIND
from shuffle_operator.api.validation import check_job, load_job

if TYPE_CHECKING:
    from shuffle_local.python.cluster import ClusterJob
    from shuffle_local.python.explained import JobPlan
    from shuffle_local.python.result import JobResult
    from shuffle_protocol.jobs import Job


class ShuffleJob(JobSettings):
    """A job on tables or arrays. Immutable: `named`, `with_workers`, `with_functions` and `configure` give another."""

    @classmethod
    def from_yaml(cls, source: Path | str) -> Self:
        """The job of a file (a `Path`, or a string that names one) or of YAML text. Raises InvalidJob."""
        return cls._of(load_job(source), {})

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The file that kubectl, `shuffle submit` and `shuffle run` take; written to `path` where one is given. Storage
        options and environment variables are in it: use Secrets for what nobody may read."""
        from shuffle_operator.api.yaml_text import yaml_text

        text = yaml_text(self.manifest())
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def explain(self, *, workers: int | None = None, memory: Quantity | None = None) -> JobPlan:
        """The plan, as `shuffle explain` makes it: inputs are looked at, nothing is started or written. Raises JobError
        where a run would be refused."""
        from shuffle_local.python.explained import plan_of

        return plan_of(self._here("explain", workers, memory))

    async def explain_async(self, *, workers: int | None = None, memory: Quantity | None = None) -> JobPlan:
        """`explain`, in an event loop that stays free."""
        from shuffle_local.python.explained import plan_of_async

        return await plan_of_async(self._here("explain_async", workers, memory))

    def run(
        self,
        *,
        workers: int | None = None,
        memory: Quantity | None = None,
        scratch: str | os.PathLike[str] | None = None,
        progress: Progress = None,
        log: str | os.PathLike[str] | None = None,
        report: str | os.PathLike[str] | None = None,
    ) -> JobResult:
        """Run the job on this machine, as `shuffle run` does, and wait for it. Works in a notebook, too.

        workers: how many processes, one for each core where neither this nor the job says; memory: of each, as "512Mi",
        what fits where neither says. scratch: a folder for what does not fit in memory. log: a file for the workers'
        logs. report: a file for the job's report (HTML), complete or not. Raises JobError (InvalidSpec, InputNotFound,
        OutputExists, UserFunctionFailed, ...); Ctrl-C stops the job, and then raises KeyboardInterrupt. Either way no
        worker is left, and nothing half-written."""
        from shuffle_local.python.running import RunFiles, run_here

        return run_here(self._here("run", workers, memory), RunFiles(scratch, log, report), progress)

    async def run_async(
        self,
        *,
        workers: int | None = None,
        memory: Quantity | None = None,
        scratch: str | os.PathLike[str] | None = None,
        progress: Progress = None,
        log: str | os.PathLike[str] | None = None,
        report: str | os.PathLike[str] | None = None,
    ) -> JobResult:
        """`run`, in an event loop that stays free. Where the task is cancelled, the job is stopped first."""
        from shuffle_local.python.running import RunFiles, run_here_async

        return await run_here_async(self._here("run_async", workers, memory), RunFiles(scratch, log, report), progress)

    def submit(
        self,
        *,
        namespace: str | None = None,
        context: str | None = None,
        name: str | None = None,
        adopt: bool = False,
    ) -> ClusterJob:
        """Submit the job to a cluster, as `shuffle submit` does. namespace: the job's own, then the context's, where
        not given. context: of the kubeconfig. adopt: a job of this name that asks for the same is as good. Raises
        InvalidJob, KubeError where the cluster refuses."""
        from shuffle_local.python.cluster import submitted, waited

        return waited(submitted(self, namespace, context, name, adopt))

    async def submit_async(
        self,
        *,
        namespace: str | None = None,
        context: str | None = None,
        name: str | None = None,
        adopt: bool = False,
    ) -> ClusterJob:
        """`submit`, in an event loop."""
        from shuffle_local.python.cluster import submitted

        return await submitted(self, namespace, context, name, adopt)

    def _here(self, call: str, workers: int | None, memory: Quantity | None) -> Job:
        """The job as it runs on this machine."""
        from shuffle_local.cli.local_job import job_here
        from shuffle_local.python.functions import check_may_run, with_import_path

        check_may_run()
        with naming(self._calls):
            job = job_here(check_job(self.manifest()), worker_count(workers, call), memory_bytes(memory, call))
        return with_import_path(job)

    def __repr__(self) -> str:
        from shuffle_local.cli.validate import describe
        from shuffle_local.python.hypertext import clean

        return clean(f"<ShuffleJob {self.metadata.name}: {describe(self)}>")

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, spec.ShuffleJob) and self.manifest() == other.manifest()

    def __hash__(self) -> int:
        return hash(self.to_yaml())

    def __dir__(self) -> list[str]:
        """For completion: what a model of pydantic has beside is left out."""
        return sorted(name for name in super().__dir__() if name in _SHOWN or name.startswith("__"))

    def _repr_html_(self) -> str:
        from shuffle_local.python.card import card

        return card(self)


_SHOWN = {name for kind in (ShuffleJob, JobSettings) for name in vars(kind)} | set(spec.ShuffleJob.model_fields)
_SHOWN = {name for name in _SHOWN if not name.startswith("model_")} | {"manifest"}


def job_of(body: Body, name: str | None, calls: Calls) -> ShuffleJob:
    """body: the spec. name: of the job; after its output where it is None. Raises InvalidJob with all that is wrong."""
    from shuffle_local.cli.init import job_name

    folder = str(body["output"].get("path", "")).rstrip("/").rpartition("/")[2].removesuffix(".zarr")
    found = name if name is not None else job_name(folder)
    whole = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": found}, "spec": body}
    with naming({**calls, ("metadata",): calls[("spec", "output")]}):
        return ShuffleJob._of(check_job(whole), calls)

"""The operator of a DAG: `ShuffleJobOperator(task_id=..., job=...)`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.sdk import BaseOperator

from shuffle_operator.airflow.outcome import COMPLETE, FAILED, GONE, UNREACHABLE, outcome_of
from shuffle_operator.airflow.trigger import ShuffleJobTrigger
from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.spec import GROUP
from shuffle_operator.api.validation import check_job, load_job
from shuffle_operator.client.client import Client
from shuffle_operator.client.job import SubmittedJob
from shuffle_operator.client.once import name_for, submit_once
from shuffle_operator.client.reasons import RETRYABLE
from shuffle_operator.client.sync import Client as SyncClient

try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import AirflowException, AirflowFailException

RUN = f"{GROUP}/airflow-run"
"""The annotation that says for which run of which task a job was made."""

SEEN = f"{GROUP}/airflow-seen"
"""The annotation of a job whose end its task has seen: cleared and run again, the task gets a new one."""


class ShuffleJobOperator(BaseOperator):  # type: ignore[misc]
    """Creates a ShuffleJob, waits for it, and returns `{"job", "output", "manifest", "rows"}`.

    job: a mapping, the text of a job file, the path of one that ends in .yaml or .yml (found as templates are), or a
    job of the Python API; its name is made from the run's. Texts in it are templates.
    namespace: "" is that of the kubeconfig's context, or of the service account.
    kube_context: of the kubeconfig; in a cluster the service account is used.
    deferrable: wait in the triggerer and hold no slot; by default as Airflow is configured
    (`[operators] default_deferrable`).
    poll_seconds: between looks at the job.
    """

    template_fields: Sequence[str] = ("job", "namespace")
    template_ext: Sequence[str] = (".yaml", ".yml")
    template_fields_renderers = {"job": "yaml"}  # noqa: RUF012 - as Airflow declares it

    def __init__(
        self,
        *,
        job: Any,
        namespace: str = "",
        kube_context: str | None = None,
        deferrable: bool | None = None,
        poll_seconds: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = _plain(job)
        self.namespace = namespace
        self.kube_context = kube_context
        usual = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = usual if deferrable is None else deferrable
        self.poll_seconds = poll_seconds
        self._made: SubmittedJob | None = None
        self._killed = False

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Called for every try of a run: a later one finds the job of the one before, unless that has failed."""
        instance = context["ti"]
        work = f"{instance.dag_id}/{instance.task_id}/{instance.run_id}/{instance.map_index}"
        try:
            manifest = self._manifest(name_for(instance.task_id.rpartition(".")[2], work))
            made = self._made = asyncio.run(self._submit(manifest, work))
        except InvalidJob as error:
            raise AirflowFailException(str(error)) from error  # it would be wrong again
        if self._killed:  # while it was submitted: nobody could end it then
            self._cancel(made)
            raise AirflowException(f"the task was ended, and with it ShuffleJob {made.namespace}/{made.name}")
        self.log.info("ShuffleJob %s/%s: %s", made.namespace, made.name, made.message)
        trigger = ShuffleJobTrigger(made.namespace, made.name, made.uid, self.kube_context, self.poll_seconds)
        if made.finished:
            return self._end(made, outcome_of(made))
        if self.deferrable:
            self.defer(trigger=trigger, method_name="execute_complete")
        return self._end(made, asyncio.run(trigger.outcome()))

    def execute_complete(
        self,
        context: Mapping[str, Any],  # noqa: ARG002 - Airflow gives it
        event: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Called when the trigger has fired."""
        return self._end(SubmittedJob({"metadata": event["job"]}), event)

    def on_kill(self) -> None:
        """The task was ended while it held a slot; one that waits in the triggerer is the trigger's to end."""
        self._killed = True
        if self._made is not None:
            self._cancel(self._made)

    def _manifest(self, name: str) -> dict[str, Any]:
        if isinstance(self.job, Mapping):
            metadata = {**(self.job.get("metadata") or {}), "name": name}
            return check_job({**self.job, "metadata": metadata}).manifest()
        manifest = load_job(self.job).manifest()
        manifest["metadata"]["name"] = name
        return manifest

    async def _submit(self, manifest: dict[str, Any], work: str) -> SubmittedJob:
        async with await Client.connect(self.namespace or None, self.kube_context) as client:
            return await submit_once(client, manifest, RUN, work, _is_over)

    def _cancel(self, job: SubmittedJob) -> None:
        """By the client with a thread of its own: Airflow calls `on_kill` in a signal's handler, in the midst of the
        event loop that waits for the job."""
        with SyncClient(job.namespace, self.kube_context) as client:
            client.cancel(job.name, uid=job.uid)

    async def _mark(self, job: SubmittedJob) -> None:
        async with await Client.connect(job.namespace, self.kube_context) as client:
            await client.annotate(job.name, {SEEN: "true"})

    def _end(self, made: SubmittedJob, outcome: Mapping[str, Any]) -> dict[str, Any]:
        """What the task returns. Raises AirflowFailException where another try would end as this one."""
        where = f"ShuffleJob {made.namespace}/{made.name}"
        if outcome["kind"] == COMPLETE:
            asyncio.run(self._mark(made))
            result: dict[str, Any] = outcome["result"]
            return result
        if outcome["kind"] == GONE:
            raise AirflowFailException(f"{where} was deleted before its end was seen; clear the task to run it again")
        if outcome["kind"] == UNREACHABLE:
            raise AirflowException(f"{where}: the API server does not answer: {outcome['message']}")
        assert outcome["kind"] == FAILED, outcome
        if outcome["reason"] in RETRYABLE:
            raise AirflowException(f"{where}: {outcome['message']}")
        raise AirflowFailException(f"{where}: {outcome['message']}")


def _plain(job: Any) -> Any:
    """A job as templates go through it: a mapping or a text."""
    if isinstance(job, Path):
        return str(job)
    if isinstance(job, Mapping | str):
        return job
    if hasattr(job, "to_yaml"):
        return job.to_yaml()
    raise TypeError(
        f"job: expected a mapping, the text or the path of a job file, or a ShuffleJob; found {type(job).__name__}"
    )


def _is_over(job: SubmittedJob) -> bool:
    """Whether another try is not to have this job: it has failed, or its task has had its result already."""
    return job.failed or SEEN in job.annotations

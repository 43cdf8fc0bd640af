"""`shuffle report JOB`: the report of a job that is over, as a file.

JOB is an output folder (or the report in it) where the job wrote its report beside the manifest (`output.report`), or
the name of a job in a cluster, whose report the operator's pages have.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from shuffle_local.cli.cluster import ContextOption, NamespaceOption, with_client
from shuffle_local.cli.report_file import ReportFile
from shuffle_protocol.errors import DataError, InputNotFound, JobError, StorageUnavailable

if TYPE_CHECKING:
    from shuffle_operator.client import Client, SubmittedJob
    from shuffle_operator.history.document import JobHistory, JobLine
    from shuffle_protocol.jobs import StorageOptions

MOST = 16 << 20
"""Bytes of a report or a list of jobs that are read."""
WITHIN = 30.0


def report(
    job: Annotated[str, typer.Argument(metavar="JOB", help="An output folder, or the name of a job in the cluster.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="Where to [default: JOB-report.html]."),
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    url: Annotated[
        str, typer.Option("--url", metavar="URL", envvar="SHUFFLE_PAGES_URL", help="Where the operator's pages are.")
    ] = "",
    token: Annotated[
        str, typer.Option("--token", metavar="TOKEN", envvar="SHUFFLE_PAGES_TOKEN", help="The token of these pages.")
    ] = "",
) -> None:
    """Write the report of a job that is over to a file (HTML)."""
    if output is not None:
        ReportFile.planned(output, "--output")
    if "/" in job or os.path.exists(job):  # noqa: PTH110 - pathlib's raises for a name that is too long
        text = _beside_output(job)
    elif url:
        text = _of_pages(job, namespace, url, token)
    else:
        text = _of_cluster(job, namespace, context)
    from shuffle_operator.web.report import file_name

    history = _checked(text, job)
    target = ReportFile.planned(output or Path(file_name(history.job.name)))
    try:
        target.put(text)
    except OSError as error:
        raise _refused(JobError, f"{target.path} could not be written: {error.strerror or error}") from None
    typer.echo(f"{history.progress.phase}: the report of {history.job.name} is in {target.path}", err=True)


def _refused(kind: type[JobError], message: str) -> JobError:
    error = kind(message)
    error.refusal = True
    return error


def _checked(text: str, job: str) -> JobHistory:
    from shuffle_operator.web.report import history_in

    try:
        return history_in(text)
    except ValueError as error:
        raise _refused(DataError, f"{job}: {error}") from None


# -- beside an output ------------------------------------------------------------------------------------------------


def _beside_output(path: str, settings: StorageOptions | None = None) -> str:
    """path: of a folder, or of the report in it. settings: how its store is reached; None: as the environment says."""
    from shuffle_local.cli.local_job import absolute
    from shuffle_worker.output.names import MANIFEST, REPORT
    from shuffle_worker.storage import Storages

    whole = absolute(path).rstrip("/")
    file = whole if whole.endswith(".html") else f"{whole}/{REPORT}"
    storage = Storages().of(file, settings)
    try:
        return storage.read(file).decode(errors="replace")
    except InputNotFound:
        folder = file.rpartition("/")[0]
        try:
            storage.read(f"{folder}/{MANIFEST}")
        except InputNotFound:
            why = f"there is no output of a job in {folder}"
        else:
            why = (
                f"the job that wrote {folder} was not asked for a report (`output: {{report: true}}` asks for one), or "
                "could not write it, which the log of its workers says"
            )
        raise _refused(InputNotFound, f"{file} is not there: {why}") from None


# -- in a cluster ----------------------------------------------------------------------------------------------------


def _of_cluster(name: str, namespace: str | None, context: str | None) -> str:
    """Without the operator's pages: what the job wrote beside its output, where it did."""

    async def work(client: Client) -> SubmittedJob | None:
        return await client.get(name)

    found = with_client(namespace, context, work)
    if found is None:
        raise _refused(InputNotFound, f"there is no ShuffleJob {name}, and no folder of that name here")
    output = (found.body.get("spec") or {}).get("output") or {}
    if not output.get("report"):
        raise _refused(
            InputNotFound,
            f"{name} wrote no report (spec.output.report); give the operator's pages with --url and --token "
            "(kubectl port-forward svc/shuffle-operator-dashboard 8090:80)",
        )
    if found.phase != "Complete":
        raise _refused(InputNotFound, f"{name} is {found.phase}: its report is written when it is complete")
    return _beside_output(str(output.get("path", "")), _store_of(output.get("storage") or {}))


ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def _store_of(storage: dict[str, Any]) -> StorageOptions:
    """How a job's store is reached from here: as by the job, but that an endpoint in this environment wins, since the
    job's may be an address in the cluster. Credentials are those of this environment."""
    from shuffle_protocol.jobs import StorageOptions

    endpoint = "" if any(map(os.environ.get, ENDPOINTS)) else str(storage.get("endpoint") or "")
    return StorageOptions(endpoint, dict(storage.get("options") or {}))


def _of_pages(name: str, namespace: str | None, url: str, token: str) -> str:
    try:
        scheme = urllib.parse.urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https"):
        raise typer.BadParameter(f"{url!r} is no address; write http://127.0.0.1:8090", param_hint="--url")
    base = url.rstrip("/")
    jobs = _listed(_got(f"{base}/api/jobs", token), base)
    meant = [one for one in jobs if one.name == name and namespace in (None, one.namespace)]
    places = sorted({one.namespace for one in meant})
    if not meant:
        where = f" in {namespace}" if namespace else ""
        raise _refused(InputNotFound, f"the operator at {base} knows no job {name}{where}")
    if len(places) > 1:
        raise _refused(InputNotFound, f"there are jobs {name} in {', '.join(places)}: say which with --namespace")
    return _got(f"{base}/api/jobs/{meant[0].uid}/report.html", token)


def _listed(text: str, url: str) -> list[JobLine]:
    from shuffle_operator.history.document import JobList

    try:
        return msgspec.json.decode(text, type=JobList).jobs
    except msgspec.DecodeError:
        raise _refused(StorageUnavailable, f"{url} is not the address of an operator's pages") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token goes to the address that was named, and to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _got(url: str, token: str) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        with _OPENER.open(request, timeout=WITHIN) as answer:
            return bytes(answer.read(MOST)).decode(errors="replace")
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise _refused(StorageUnavailable, f"{url}: the token is missing or wrong (--token)") from None
        if error.code == 404:
            raise _refused(
                InputNotFound, "the operator knows nothing of this job any more: it ended before this operator began"
            ) from None
        if place := error.headers.get("Location"):
            why = (
                f"{url} sends its callers to {place[:200]}, which is not given the token; name that address with --url"
            )
            raise _refused(StorageUnavailable, why) from None
        raise _refused(StorageUnavailable, f"{url} answered {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _refused(StorageUnavailable, f"{url} does not answer: {error}") from None

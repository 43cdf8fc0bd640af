"""`shuffle doctor`: whether this cluster can run jobs, and what is missing where it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from shuffle_local.cli.cluster import ContextOption, NamespaceOption, with_client
from shuffle_local.cli.exits import FAILED

if TYPE_CHECKING:
    from shuffle_operator.api.spec import ShuffleJob
    from shuffle_operator.client import Client

OPERATORS = "app.kubernetes.io/part-of=shuffle-operator,app.kubernetes.io/component=operator"
CHECKOUT = "dev"
"""The version of a chart that was not packaged: it goes with whatever was built from the same checkout."""


class ClusterFinding(NamedTuple):
    """What one check of the cluster found."""

    what: str
    ok: bool | None
    """None where it could not be found out."""
    said: str
    advice: str = ""
    """What to do where it is not ok."""


def doctor(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A job file: its storage is tried, too, from a pod like its workers'."),
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    image: Annotated[
        str, typer.Option("--image", metavar="NAME", help="Of that pod [default: the operator's workers'].")
    ] = "",
) -> None:
    """Check the cluster: the definition, your rights, the operator and its version; and the storage of a job."""
    from shuffle_operator.api.validation import load_job

    job = load_job(file) if file is not None else None

    async def work(client: Client) -> list[ClusterFinding]:
        found = [finding async for finding in examine(client)]
        if job is not None:
            found += [finding async for finding in reach(client, job, image)]
        return found

    findings = with_client(namespace, context, work)
    for each in findings:
        mark = {True: "ok", False: "FAILED", None: "unknown"}[each.ok]
        typer.echo(f"{mark:<8} {each.what}: {each.said}")
        if each.ok is not True and each.advice:
            typer.echo(f"         {each.advice}")
    if any(each.ok is False for each in findings):
        raise typer.Exit(FAILED)


async def examine(client: Client) -> AsyncIterator[ClusterFinding]:
    """Findings one by one; a right that is missing makes them unknown, not wrong."""
    from shuffle_operator.api.spec import GROUP, PLURAL, VERSION
    from shuffle_operator.kube.api import CRDS, PODS, KubeError

    kube = client.kube
    name = f"{PLURAL}.{GROUP}"
    try:
        body = await kube.get(CRDS, "", name)
        if body is None:
            yield ClusterFinding("definition", False, f"{name} is not installed", "shuffle crd | kubectl apply -f -")
        else:
            versions = [v["name"] for v in body["spec"]["versions"] if v.get("served")]
            ok = VERSION in versions
            yield ClusterFinding(
                "definition", ok, f"{name} serves {', '.join(versions)}", f"this program needs {VERSION}"
            )
    except KubeError as error:
        yield ClusterFinding("definition", None, error.message)
    for verb, resource, group in (
        ("create", PLURAL, GROUP),
        ("get", PLURAL, GROUP),
        ("delete", PLURAL, GROUP),
        ("list", "pods", ""),
        ("get", "pods/log", ""),
    ):
        yield await _right(client, verb, resource, group)
    try:
        pods = await kube.list(PODS, "", OPERATORS)
        yield _operator(pods)
    except KubeError as error:
        yield ClusterFinding("operator", None, error.message, "somebody who may list pods of all namespaces can tell")


async def reach(client: Client, job: ShuffleJob, image: str) -> AsyncIterator[ClusterFinding]:
    """Whether a job's workers could read and write where they are to."""
    from shuffle_operator.client.check import check_storage, worker_image
    from shuffle_operator.kube.api import PODS, KubeError

    given = job.spec.workers.image if job.spec.workers is not None else None
    try:
        image = given or image or worker_image(await client.kube.list(PODS, "", OPERATORS))
        if not image:
            yield ClusterFinding(
                "storage", None, "there is no operator whose workers' image could be used", "use --image"
            )
            return
        for each in await check_storage(client.kube, client.namespace, job, image):
            yield ClusterFinding(each.what, each.ok, each.said, "see docs/kubernetes.md, Credentials")
    except KubeError as error:
        yield ClusterFinding(
            "storage", None, error.message, "somebody who may create pods and read their logs can tell"
        )


async def _right(client: Client, verb: str, resource: str, group: str) -> ClusterFinding:
    from shuffle_operator.kube.api import ACCESS_REVIEWS, KubeError

    plain, _, sub = resource.partition("/")
    asked = {"namespace": client.namespace, "verb": verb, "group": group, "resource": plain}
    if sub:
        asked["subresource"] = sub
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": asked},
    }
    what = f"right to {verb} {resource}"
    try:
        allowed = bool((await client.kube.create(ACCESS_REVIEWS, "", review))["status"].get("allowed"))
    except KubeError as error:
        return ClusterFinding(what, None, error.message)
    said = f"{'yes' if allowed else 'no'}, in namespace {client.namespace}"
    return ClusterFinding(what, allowed, said, "ask for it, or use --namespace")


def _operator(pods: list[dict[str, Any]]) -> ClusterFinding:
    from shuffle_protocol.release import version

    if not pods:
        return ClusterFinding(
            "operator", False, "there is none", "helm install shuffle-operator charts/shuffle-operator"
        )
    ready = [p for p in pods if _is_ready(p)]
    names = ", ".join(f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in pods)
    if not ready:
        return ClusterFinding("operator", False, f"{names} is not ready", "kubectl describe it, and read its logs")
    theirs = str(ready[0]["metadata"].get("labels", {}).get("app.kubernetes.io/version", ""))
    mine = version()
    if theirs not in ("", CHECKOUT, mine):
        return ClusterFinding("operator", None, f"{names} is version {theirs}", f"this program is version {mine}")
    return ClusterFinding("operator", True, f"{names} is ready")


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)

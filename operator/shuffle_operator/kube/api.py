"""The Kubernetes API as the operator and the client use it: six verbs on plain objects (nested dicts).

`ApiKube` carries them out with the official client's asyncio side: its configuration, authentication and connections;
not its models, which know one version of Kubernetes while objects here come from any. Nothing is retried here: the
reconcile queue and the command line know better when to try again. Tests bring another `Kube`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from shuffle_operator.kube.login import NoLogin, log_in

Object = dict[str, Any]

TIMEOUT = 30.0
"""Seconds for one request. A request that takes longer is lost, and tried again from the state that is then found."""

LONGEST_LINE = 1 << 20
"""Bytes of a log's line that are held."""


class Resource(NamedTuple):
    """A kind of object as the API's paths name it."""

    group: str
    version: str
    plural: str

    @property
    def prefix(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


JOBS = Resource("shuffle-operator.dev", "v1alpha1", "shufflejobs")
PODS = Resource("", "v1", "pods")
SECRETS = Resource("", "v1", "secrets")
EVENTS = Resource("", "v1", "events")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews")


UNANSWERED = frozenset({0, 408, 502, 503, 504})
"""Not reached, or answered by what stands before the API server, or by one that gave up on the request."""


class KubeError(Exception):
    """The API refused, or could not be reached (status 0). reason: Kubernetes' word for it: NotFound, AlreadyExists,
    Forbidden, Invalid, Conflict, ... message: Kubernetes' sentence."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def unanswered(self) -> bool:
        """The API server has not judged the request: it says nothing about the object, and may have carried it out."""
        return self.status in UNANSWERED

    @property
    def may_mend(self) -> bool:
        """The same request may be taken later: unanswered, too many at a time, or a failure of the server's or of a
        webhook's."""
        return self.unanswered or self.status == 429 or self.status >= 500


class Kube(Protocol):
    requests: Counter[tuple[str, str]]
    """Made so far, by (method, status)."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """None where there is none. namespace: "" for what belongs to none."""
        ...

    async def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[Object]:
        """namespace: "" for all. labels: a label selector."""
        ...

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object: ...

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> bool:
        """False where there is none. uid: only the object that has it."""
        ...

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Object, *, status: bool = False
    ) -> Object | None:
        """Merge `body` over the object or over its status. None where there is none, or one with another uid than
        `body` names in its metadata. Raises KubeError (Conflict) where the object has changed since the
        resourceVersion in there."""
        ...

    async def logs(self, namespace: str, pod: str, *, lines: int | None = None) -> str: ...

    def follow(self, namespace: str, pod: str, *, lines: int | None = None) -> AsyncIterator[str]:
        """A pod's log, line by line as it is written, until its container ends."""
        ...

    async def close(self) -> None: ...


class ApiKube:
    """Implements `Kube`."""

    def __init__(self, client: Any, namespace: str = "default") -> None:
        self._client = client
        self.namespace = namespace
        """What is meant where no namespace is named: the context's, or the service account's own."""
        self.requests: Counter[tuple[str, str]] = Counter()

    @classmethod
    async def connect(cls, context: str | None = None) -> ApiKube:
        """With the service account inside of a cluster, with the kubeconfig outside. Raises KubeError."""
        try:
            client, namespace = await log_in(context)
        except NoLogin as error:
            raise KubeError(0, error.reason, str(error)) from error
        return cls(client, namespace)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        try:
            return await self._call("GET", _path(resource, namespace, name))
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[Object]:
        items: list[Object] = []
        query = {"limit": "500"} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._call("GET", _path(resource, namespace), query)
            items += page.get("items") or []
            more = page.get("metadata", {}).get("continue")
            if not more:
                return items
            query["continue"] = more

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        return await self._call("POST", _path(resource, namespace), body=body)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> bool:
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation:
            options["propagationPolicy"] = propagation
        try:
            await self._call("DELETE", _path(resource, namespace, name), body=options)
        except KubeError as error:
            if error.status == 404 or (uid and error.status == 409):
                return False
            raise
        return True

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Object, *, status: bool = False
    ) -> Object | None:
        path = _path(resource, namespace, name) + ("/status" if status else "")
        try:
            return await self._call("PATCH", path, body=body, content_type="application/merge-patch+json")
        except KubeError as error:
            if error.status == 404 or (error.status == 409 and "UID" in error.message):
                return None
            raise

    async def logs(self, namespace: str, pod: str, *, lines: int | None = None) -> str:
        query = {"tailLines": str(lines)} if lines is not None else {}
        return (await self._send("GET", _path(PODS, namespace, pod) + "/log", query)).decode(errors="replace")

    async def follow(self, namespace: str, pod: str, *, lines: int | None = None) -> AsyncIterator[str]:
        """Holds a line, and cuts one that is longer than `LONGEST_LINE`."""
        query = {"follow": "true"} | ({"tailLines": str(lines)} if lines is not None else {})
        held = b""
        async with self._answer("GET", _path(PODS, namespace, pod) + "/log", query, limit=None) as response:
            async for piece in response.content.iter_any():
                *whole, held = (held + piece).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace")
                if len(held) > LONGEST_LINE:
                    yield held.decode(errors="replace")
                    held = b""
        if held:
            yield held.decode(errors="replace")

    async def close(self) -> None:
        await self._client.close()

    async def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        data = await self._send(method, path, query, body, content_type)
        answer: Object = json.loads(data)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        async with self._answer(method, path, query, body, content_type, limit=TIMEOUT) as response:
            data: bytes = await response.read()
            return data

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        *,
        limit: float | None,
    ) -> AsyncIterator[Any]:
        """An answer that is none of a refusal. limit: seconds for all of it."""
        import aiohttp

        client = self._client
        headers: dict[str, str] = {"Accept": "application/json, */*", "Content-Type": content_type}
        status = "0"
        try:
            await client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            url = client.configuration.host + path + (f"?{urlencode(query)}" if query else "")
            response = await client.rest_client.request(
                method,
                url,
                headers=headers,
                body=body,
                _request_timeout=aiohttp.ClientTimeout(total=limit, sock_connect=TIMEOUT),
            )
            async with response.response as answer:
                status = str(answer.status)
                if answer.status >= 400:
                    raise _refusal(answer.status, await answer.read())
                yield answer
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            raise KubeError(0, "Unreachable", f"the API server does not answer: {said}") from error
        finally:
            self.requests[method, status] += 1


def _path(resource: Resource, namespace: str, name: str = "") -> str:
    path = resource.prefix
    if namespace:
        path += f"/namespaces/{quote(namespace, safe='')}"
    path += f"/{resource.plural}"
    return path + (f"/{quote(name, safe='')}" if name else "")


def _refusal(status: int, data: bytes) -> KubeError:
    try:
        said = json.loads(data)
        return KubeError(status, said.get("reason") or str(status), said.get("message") or f"HTTP status {status}")
    except (ValueError, AttributeError):
        return KubeError(status, str(status), data.decode(errors="replace")[:500] or f"HTTP status {status}")

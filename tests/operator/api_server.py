"""The fake API server behind HTTP, for what goes through the real client."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from aiohttp import web

from shuffle_operator.kube.api import ACCESS_REVIEWS, CRDS, EVENTS, JOBS, PODS, SECRETS, KubeError, Object, Resource
from tests.operator.fake_kube import FakeKube

RESOURCES = {resource.plural: resource for resource in (JOBS, PODS, SECRETS, EVENTS, CRDS, ACCESS_REVIEWS)}


T = TypeVar("T")


class ApiServer:
    """Serves `kube`. allowed: what access reviews say. seen: the headers of the last request."""

    def __init__(self, kube: FakeKube) -> None:
        self.kube = kube
        self.allowed = True
        self.seen: dict[str, str] = {}
        self.ended = asyncio.Event()
        self.log = ""
        self.app = web.Application()
        for prefix in ("/api/{version}", "/apis/{group}/{version}"):
            for place in ("/namespaces/{namespace}", ""):
                self.app.router.add_route("*", prefix + place + "/{plural}", self._many)
                self.app.router.add_route("*", prefix + place + "/{plural}/{name}", self._one)
                self.app.router.add_route("*", prefix + place + "/{plural}/{name}/{sub}", self._one)

    async def _many(self, request: web.Request) -> web.Response:
        resource, namespace = self._place(request)
        if resource == ACCESS_REVIEWS:
            return web.json_response({"status": {"allowed": self.allowed}}, status=201)
        try:
            if request.method == "POST":
                return web.json_response(await self.kube.create(resource, namespace, await request.json()), status=201)
            items = await self.kube.list(resource, namespace, request.query.get("labelSelector", ""))
        except KubeError as error:
            return _refused(error)
        start = int(request.query.get("continue", "0"))
        size = min(2, int(request.query.get("limit", "2")))  # small pages, so that clients have to turn them
        more = {"continue": str(start + size)} if start + size < len(items) else {}
        return web.json_response({"items": items[start : start + size], "metadata": more})

    async def _followed(self, request: web.Request, name: str) -> web.StreamResponse:
        """A log that grows, until `ended` is set."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(f"first of {name}\nsec".encode())
        await self.ended.wait()
        await response.write(b"ond\nlast")
        return response

    async def _one(self, request: web.Request) -> web.StreamResponse:
        resource, namespace = self._place(request)
        name, sub = request.match_info["name"], request.match_info.get("sub", "")
        missing = KubeError(404, "NotFound", f"{resource.plural} {name!r} not found")
        try:
            if sub == "log":
                if await self.kube.get(resource, namespace, name) is None:
                    raise missing
                if "follow" in request.query:
                    return await self._followed(request, name)
                return web.Response(text=self.log or f"log of {name}\n")
            if request.method == "GET":
                found = await self.kube.get(resource, namespace, name)
            elif request.method == "DELETE":
                options: Object = json.loads(await request.read() or b"{}")
                uid = options.get("preconditions", {}).get("uid", "")
                found = {"kind": "Status"} if await self.kube.delete(resource, namespace, name, uid=uid) else None
            else:
                assert request.content_type == "application/merge-patch+json"
                found = await self.kube.patch(resource, namespace, name, await request.json(), status=sub == "status")
            if found is None:
                raise missing
        except KubeError as error:
            return _refused(error)
        return web.json_response(found)

    def _place(self, request: web.Request) -> tuple[Resource, str]:
        self.seen = dict(request.headers)
        resource = RESOURCES[request.match_info["plural"]]
        assert request.path.startswith(resource.prefix + "/")
        return resource, request.match_info.get("namespace", "")


def _refused(error: KubeError) -> web.Response:
    body = {"kind": "Status", "reason": error.reason, "message": error.message, "code": error.status}
    return web.json_response(body, status=error.status)


@asynccontextmanager
async def serving(kube: FakeKube, folder: Path) -> AsyncIterator[tuple[ApiServer, Path]]:
    """The server and a kubeconfig for it."""
    server = ApiServer(kube)
    runner = web.AppRunner(server.app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {"token": "a-token"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "data"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    try:
        yield server, path
    finally:
        await runner.cleanup()


@asynccontextmanager
async def reached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    """A server that clients find by themselves, as they find the cluster of a user."""
    async with serving(FakeKube(), folder) as (made, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield made


@contextmanager
def reached_from_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """The same with an event loop of its own, for what is called without one or runs several itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = reached(folder, monkeypatch)

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    async def settle(server: ApiServer) -> None:
        await asyncio.gather(*server.kube.collecting)  # what a deletion has set off is through

    try:
        server = run(context.__aenter__())
        yield server
        run(settle(server))
        run(context.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

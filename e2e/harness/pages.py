"""The operator's pages as people reach them: forwarded to this machine, asked with a token, watched live."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.history.test_updates import Page

from e2e.harness.kubectl import Object
from e2e.harness.operator import NAMESPACE, RELEASE, Operator
from e2e.harness.waiting import until

SECRET = "shuffle-pages"
SERVICE = f"{RELEASE}-dashboard"


class Answer(NamedTuple):
    """Of one request."""

    status: int
    text: str
    headers: dict[str, str]


def secret(token: str) -> Object:
    """With the pages' token."""
    data = {"token": base64.b64encode(token.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data}


@dataclass
class Live:
    """What a page that is open has of a job: filled by a thread for as long as events come."""

    page: Page = field(default_factory=Page)
    updates: int = 0
    ended: bool = False
    """The event `end` came."""
    broken: str = ""

    @property
    def document(self) -> dict[str, Any]:
        return self.page.document

    def until(self, what: str, holds: Callable[[dict[str, Any]], Any], seconds: float = 120) -> None:
        def look() -> bool:
            return self.page.whole and bool(holds(self.document))

        until(what, look, seconds=seconds, every=0.2, said=lambda: f"{self.broken} {str(self.document)[:2000]}")

    def read(self, answer: http.client.HTTPResponse) -> None:
        event: dict[str, str] = {}
        try:
            for raw in answer:
                line = raw.decode().rstrip("\n")
                name, _, value = line.partition(": ")
                if name:
                    event[name] = value
                elif not line and event:
                    self._take(event)
                    event = {}
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:  # it was closed here or there
            self.broken = repr(error)

    def _take(self, event: dict[str, str]) -> None:
        if event.get("event") == "update":
            self.updates += 1
            self.page.apply(_Update(event["id"], event["data"].encode()))  # type: ignore[arg-type]
        self.ended = self.ended or event.get("event") == "end"


class _Update(NamedTuple):
    """As `NumberedUpdate`."""

    id: str
    data: bytes


@dataclass
class Pages:
    """operator: installed with `dashboard.enabled`. token: the one that is good."""

    operator: Operator
    token: str
    _forward: subprocess.Popen[str] | None = None
    _address: str = ""

    @property
    def address(self) -> str:
        """Of the Service, forwarded as the chart's notes say; again where the operator's pod was replaced."""
        if self._forward is None or self._forward.poll() is not None:
            self.operator.pod()
            until("the pages are forwarded", self._forwarded, seconds=60)
        return self._address

    def _forwarded(self) -> bool:
        self.close()
        kubectl = self.operator.kubectl
        words = [str(kubectl.program), "--kubeconfig", str(kubectl.kubeconfig), "--namespace", NAMESPACE]
        self._forward = subprocess.Popen(
            [*words, "port-forward", f"svc/{SERVICE}", ":80"], stdout=subprocess.PIPE, text=True
        )
        assert self._forward.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", self._forward.stdout.readline())
        self._address = f"http://127.0.0.1:{found[1]}" if found else ""
        return found is not None

    def close(self) -> None:
        if self._forward is not None:
            self._forward.kill()
            self._forward.wait(10)
            self._forward = None

    def again(self) -> None:
        """The operator's pod is another: what was forwarded is gone."""
        self.close()

    def ask(self, path: str, authorization: str | None = None) -> Answer:
        """authorization: the header, "" for none; the right token where nothing is said."""
        given = f"Bearer {self.token}" if authorization is None else authorization
        request = urllib.request.Request(f"{self.address}{path}", headers={"Authorization": given} if given else {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.read().decode(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(), dict(error.headers))

    def json(self, path: str) -> Any:
        answer = self.ask(path)
        assert answer.status == 200, answer
        return json.loads(answer.text)

    @contextlib.contextmanager
    def watching(self, uid: str) -> Iterator[Live]:
        """A page that is open."""
        request = urllib.request.Request(
            f"{self.address}/api/jobs/{uid}/events", headers={"Authorization": f"Bearer {self.token}"}
        )
        live = Live()
        with urllib.request.urlopen(request, timeout=60) as answer:
            reader = threading.Thread(target=live.read, args=(answer,), daemon=True)
            reader.start()
            yield live
        reader.join(10)

"""The pages' server: who may look, what is answered, events that go on after a break, and its bounds."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec import structs

from shuffle_operator.history.document import JobHistory, JobLine, JobList
from shuffle_operator.history.updates import LiveDocument
from shuffle_operator.web.access import Access, ByLoopback, ByToken
from shuffle_operator.web.server import DashboardServer
from shuffle_protocol.messages import Phase
from tests.history.plausible import largest, plausible
from tests.history.test_updates import Page

TOKEN = "a-token-of-some-length"


@dataclass
class Shown:
    """Jobs that a test changes."""

    histories: dict[str, JobHistory] = field(default_factory=lambda: {"one": plausible(ending="running")})

    def jobs(self) -> JobList:
        line = JobLine("j", "one", "", Phase.WRITING, 50.0, "", 1.0, 2.0, 3, 4, 5, False)
        return JobList([structs.replace(line, uid=uid) for uid in self.histories], 0)

    def history(self, uid: str) -> JobHistory | None:
        return self.histories.get(uid)


@contextlib.asynccontextmanager
async def served(
    shown: Shown, access: Access | None = None, **settings: Any
) -> AsyncIterator[tuple[aiohttp.ClientSession, DashboardServer, str]]:
    server = DashboardServer(shown, access or ByLoopback(), period=0.02, **settings)
    address = await server.start("127.0.0.1")
    try:
        async with aiohttp.ClientSession() as session:
            yield session, server, address
    finally:
        await server.stop()


async def alone(server: DashboardServer) -> None:
    """Wait until nobody listens any more."""
    async with asyncio.timeout(10):
        while server.listeners:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


class Events:
    """What comes of a stream of events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> tuple[str, str, str]:
        """(event, id, data)"""
        found = {"event": "", "id": "", "data": ""}
        while True:
            line = (await asyncio.wait_for(self.answer.content.readline(), 10)).decode()
            if not line:
                raise EOFError
            name, _, value = line.rstrip("\n").partition(": ")
            if name in found:
                found[name] = value
            elif not name and found["event"]:
                return found["event"], found["id"], found["data"]

    async def until_whole(self, page: Page) -> None:
        while True:
            event, number, data = await self.next()
            assert event == "update"
            assert len(data) < 64 << 10
            page.take(_Sent(number, data))  # type: ignore[arg-type]
            if page.whole:
                return


@dataclass
class _Sent:
    """One update, as a live document would give it."""

    id: str
    text: str

    def since(self, _seen: str) -> list[_Sent]:
        return [self]

    @property
    def data(self) -> bytes:
        return self.text.encode()


async def test_the_list_a_job_and_pages() -> None:
    shown = Shown()
    async with served(shown) as (session, _, address):
        listed = msgspec.json.decode(await (await session.get(f"{address}/api/jobs")).read(), type=JobList)
        assert [job.uid for job in listed.jobs] == ["one"]
        found = msgspec.json.decode(await (await session.get(f"{address}/api/jobs/one")).read(), type=JobHistory)
        assert found == shown.histories["one"]
        for path in ("/", "/jobs/one", "/static/page.js", "/static/page.css"):
            answer = await session.get(address + path)
            assert answer.status == 200
            assert (await session.get(address + path, headers={"If-None-Match": answer.headers["ETag"]})).status == 304
        report = await session.get(f"{address}/api/jobs/one/report.html")
        assert "attachment" in report.headers["Content-Disposition"]


@pytest.mark.parametrize("path", ["/", "/api/jobs", "/api/jobs/one", "/api/jobs/none", "/static/none", "/nothing"])
async def test_every_answer_has_the_headers(path: str) -> None:
    async with served(Shown()) as (session, _, address):
        answer = await session.get(address + path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_events_have_no_head() -> None:
    """Their text would follow it, and be taken for the answer to the next request over that connection."""
    async with served(Shown()) as (session, _, address):
        assert (await session.head(f"{address}/api/jobs/one/events")).status == 405
        assert (await session.head(f"{address}/api/jobs/one")).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(method: str) -> None:
    async with served(Shown()) as (session, _, address):
        for path in ("/", "/api/jobs", "/api/jobs/one", "/api/jobs/one/events"):
            assert (await session.request(method, address + path)).status == 405


@pytest.mark.parametrize(
    "path", ["/", "/jobs/one", "/static/page.js", "/api/jobs", "/api/jobs/one", "/api/jobs/one/events"]
)
async def test_a_token_is_asked_for(path: str) -> None:
    async with served(Shown(), ByToken.of(TOKEN)) as (session, _, address):
        login = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
        for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {login}"):
            answer = await session.get(address + path, headers={"Authorization": right})
            assert answer.status == 200
            answer.close()
        wrong = [
            "",
            "Bearer",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            TOKEN,
            "Basic !!",
            "Basic /////w==",
            "Basic \u00e9",
            "Digest a",
        ]
        for value in wrong:
            answer = await session.get(address + path, headers={"Authorization": value} if value else {})
            assert answer.status == 401
            assert "Basic" in answer.headers["WWW-Authenticate"]
            assert TOKEN not in await answer.text()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("localhost:80", 200),
        ("LOCALHOST", 200),
        ("[::1]:8", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("localhost.evil.example", 403),
    ],
)
async def test_no_site_can_pass_for_this_machine(host: str, status: int) -> None:
    async with served(Shown()) as (session, _, address):
        assert (await session.get(f"{address}/api/jobs", headers={"Host": host})).status == status


async def test_events_are_the_document_and_then_what_is_new() -> None:
    shown, page = Shown({"one": largest()}), Page()
    async with served(shown) as (session, _, address):
        events = Events(await session.get(f"{address}/api/jobs/one/events"))
        assert events.answer.headers["Content-Type"] == "text/event-stream"
        await events.until_whole(page)
        assert page.is_like(shown.histories["one"])
        now = shown.histories["one"]
        shown.histories["one"] = structs.replace(now, refused=7)
        event, _, data = await events.next()
        assert (event, json.loads(data)) == ("update", {"set": {"refused": 7}})
        shown.histories["one"] = structs.replace(now, progress=structs.replace(now.progress, over=True), refused=7)
        assert (await events.next())[0] == "update"
        assert (await events.next())[0] == "end"
        with pytest.raises(EOFError):
            await events.next()


async def test_a_page_that_comes_back_is_sent_what_it_lacks() -> None:
    shown, page = Shown({"one": largest()}), Page()
    async with served(shown) as (session, _, address):
        events = Events(await session.get(f"{address}/api/jobs/one/events"))
        for _ in range(3):
            event, number, data = await events.next()
            page.take(_Sent(number, data))  # type: ignore[arg-type]
            assert event == "update"
        events.answer.close()
        again = Events(await session.get(f"{address}/api/jobs/one/events", headers={"Last-Event-ID": page.seen}))
        _, number, data = await again.next()
        assert "reset" not in json.loads(data)
        page.take(_Sent(number, data))  # type: ignore[arg-type]
        if not page.whole:
            await again.until_whole(page)
        assert page.is_like(shown.histories["one"])


async def test_a_job_that_goes_ends_its_events() -> None:
    shown, page = Shown(), Page()
    async with served(shown) as (session, _, address):
        events = Events(await session.get(f"{address}/api/jobs/one/events"))
        await events.until_whole(page)
        del shown.histories["one"]
        assert (await events.next())[0] == "end"
        assert (await session.get(f"{address}/api/jobs/none/events")).status == 404


async def test_only_so_many_pages_are_live() -> None:
    async with served(Shown(), most=2) as (session, server, address):
        open_ = [await session.get(f"{address}/api/jobs/one/events") for _ in range(2)]
        refused = await session.get(f"{address}/api/jobs/one/events")
        assert refused.status == 503
        assert "Retry-After" in refused.headers
        for answer in open_:
            answer.close()
        await alone(server)
        assert (await session.get(f"{address}/api/jobs/one/events")).status == 200


async def test_a_page_that_takes_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_operator.web.server.PATIENCE", 0.2)
    shown = Shown({"one": largest()})
    async with served(shown) as (_, server, address):
        host, _, port = address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /api/jobs/one/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readline()
        async with asyncio.timeout(20):
            for n in range(10_000):  # sockets of this machine hold some MiB
                if not server.listeners:
                    break
                changed = structs.replace(shown.histories["one"], refused=n)
                columns = ["x" * 500 + str(n)] * 240
                timeline = structs.replace(changed.timeline, columns=columns)
                shown.histories["one"] = structs.replace(changed, timeline=timeline)
                await asyncio.sleep(0.02)
        assert not server.listeners
        writer.close()


async def test_a_look_costs_nothing_while_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    show = LiveDocument.show

    def counted(live: LiveDocument, history: JobHistory) -> bool:
        nonlocal looks
        looks += 1
        return show(live, history)

    monkeypatch.setattr(LiveDocument, "show", counted)
    async with served(Shown()) as (session, server, address):
        events = Events(await session.get(f"{address}/api/jobs/one/events"))
        await events.next()
        events.answer.close()
        await alone(server)
        before = looks
        await asyncio.sleep(0.1)
        assert looks == before > 0


async def test_a_port_that_is_taken() -> None:
    async with served(Shown()) as (_, _, address):
        with pytest.raises(OSError, match="in use"):
            await DashboardServer(Shown(), ByLoopback()).start("127.0.0.1", int(address.rpartition(":")[2]))

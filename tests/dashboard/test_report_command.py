"""`shuffle report`: what is written beside an output, what the operator's pages have, and clear words where there is
nothing."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from shuffle_local.cli.main import execute
from shuffle_local.cli.report import ENDPOINTS, _store_of
from shuffle_operator.history.document import JobHistory, JobLine, JobList
from shuffle_operator.web.access import ByToken
from shuffle_operator.web.report import history_in, render
from shuffle_operator.web.server import DashboardServer
from shuffle_protocol.jobs import StorageOptions
from shuffle_protocol.messages import Phase
from tests.history.plausible import plausible
from tests.jobs import data
from tests.jobs.harness import Bench

TOKEN = "a-token-of-some-length"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


@contextmanager
def pages(places: list[str]) -> Iterator[str]:
    """The pages of an operator with a job `one` in each of these namespaces, in a thread of their own."""

    class Jobs:
        def jobs(self) -> JobList:
            lines = [
                JobLine("one", f"u{n}", place, Phase.COMPLETE, 100.0, "", 1.0, 2.0, 0, 1, 1, True)
                for n, place in enumerate(places)
            ]
            return JobList(lines, 0)

        def history(self, uid: str) -> JobHistory | None:
            return plausible(name="one") if uid == "u0" else None

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:

        async def begin() -> tuple[DashboardServer, str]:
            server = DashboardServer(Jobs(), ByToken.of(TOKEN))
            return server, await server.start("127.0.0.1")

        server, address = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
        yield address
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert execute(["report", *arguments]) == code
    return re.sub(r"\s+", " ", capsys.readouterr().err)


def test_a_job_that_writes_its_report(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    source = bench.root / "in"
    data.write_events(source, files=2, rows=500, width=10)
    job = bench.job({"sort": {"by": [{"column": "score"}]}}, source, {"partitions": 3, "report": True})
    bench.complete(job)
    written = bench.out / "_report.html"
    history = history_in(written.read_text(encoding="utf-8"))
    assert history.progress.phase is Phase.COMPLETE
    assert history.progress.over
    assert history.output.rows == 1_000
    assert "Complete: the report of test" in said(capsys, str(bench.out), code=0)
    assert Path("test-report.html").read_bytes() == written.read_bytes()
    assert "is in other.html" in said(capsys, str(written), "-o", "other.html", code=0)

    # a job that asks for none takes the place of the output, and of the report in it
    again = bench.job({"sort": {"by": [{"column": "score"}]}}, source, {"partitions": 3, "onExisting": "Overwrite"})
    bench.complete(again)
    assert not written.exists()
    assert "was not asked for a report" in said(capsys, str(bench.out))


@pytest.mark.parametrize(
    ("make", "about"),
    [
        (lambda path: path.mkdir(), "there is no output of a job"),
        (lambda path: None, "there is no output of a job"),
        (lambda path: _write(path, render(plausible())[:-500]), "is not a report, or its end is missing"),
        (lambda path: _write(path, ""), "is not a report"),
        (lambda path: _write(path, "<html></html>"), "is not a report"),
    ],
)
def test_what_is_no_report(make: object, about: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(make)
    make(tmp_path / "out")
    assert about in said(capsys, str(tmp_path / "out"))
    assert not list(tmp_path.glob("*report.html"))


def _write(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "_report.html").write_text(text, encoding="utf-8")


def test_of_the_operators_pages(capsys: pytest.CaptureFixture[str]) -> None:
    with pages(["a", "b"]) as address:
        to = ["--url", address, "--token", TOKEN]
        assert "a, b: say which with --namespace" in said(capsys, "one", *to)
        assert "report of one" in said(capsys, "one", "-n", "a", *to, code=0)
        assert history_in(Path("one-report.html").read_text(encoding="utf-8")) == plausible(name="one")
        assert "knows nothing of this job any more" in said(capsys, "one", "-n", "b", *to)
        assert "knows no job two" in said(capsys, "two", *to)
        assert "token is missing or wrong" in said(capsys, "one", "--url", address)
        assert TOKEN not in said(capsys, "one", "--url", f"{address}/nothing", "--token", TOKEN)


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives each caller these bytes; its address, and what it was sent."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = server.accept()
                    with caller:
                        seen.append(caller.recv(65536))
                        caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_the_token_goes_nowhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (other, seen):
        text = f"HTTP/1.1 302 Found\r\nLocation: {other}/login\r\nContent-Length: 0\r\n\r\n"
        with answering(text.encode()) as (url, _):
            assert f"sends its callers to {other}/login" in said(capsys, "one", "--url", url, "--token", TOKEN)
    assert not seen


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        b"HTTP/1.1 204 N\r\n\r\n",
    ],
)
def test_what_answers_is_no_operator(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(answer) as (url, _):
        text = said(capsys, "one", "--url", url)
        assert "does not answer" in text or "is not the address of an operator's pages" in text


@pytest.mark.parametrize("name", ["../../one", "/etc/one", "a/b", "..", "\n"])
def test_a_report_names_no_place_for_itself(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "out", render(plausible(name=name)))
    assert "the report of" in said(capsys, str(tmp_path / "out"), code=0)
    assert len(list(tmp_path.glob("*-report.html"))) == 1


def test_a_name_that_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert "NoCluster" in said(capsys, "x" * 300, code=1)


@pytest.mark.parametrize(
    ("url", "about"),
    [
        ("http://127.0.0.1:9", "does not answer"),
        ("http://127.0.0.1:x", "does not answer"),
        ("http://a b", "does not answer"),
        ("http://[", "is no address"),
        ("ftp://a", "is no address"),
    ],
)
def test_no_pages(url: str, about: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert about in said(capsys, "one", "--url", url)


def test_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert "NoCluster" in said(capsys, "one", code=1)


def test_no_place_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no folder" in said(capsys, "one", "-o", "none/report.html")


@pytest.mark.parametrize(
    ("storage", "here", "endpoint", "options"),
    [
        ({}, {}, "", {}),
        ({"secretRef": {"name": "lake"}}, {}, "", {}),
        (
            {"endpoint": "http://minio.data.svc:9000", "options": {"region": "x"}},
            {},
            "http://minio.data.svc:9000",
            {"region": "x"},
        ),
        ({"endpoint": "http://minio.data.svc:9000"}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}, "", {}),
        ({"endpoint": "http://minio.data.svc:9000"}, {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"}, "", {}),
    ],
)
def test_how_the_store_of_a_job_in_a_cluster_is_reached(
    storage: dict[str, Any],
    here: dict[str, str],
    endpoint: str,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    assert _store_of(storage) == StorageOptions(endpoint, options)

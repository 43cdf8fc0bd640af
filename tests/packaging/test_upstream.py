"""What the nightly run against pre-releases tells: one issue, which names the tests and the versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tools" / "upstream"))

import issue  # noqa: E402

RUN = "https://example.com/runs/1"


class Tracker:
    """GitHub's issues of one repository, behind HTTP."""

    def __init__(self) -> None:
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: list[tuple[int, str]] = []
        self.broken = False

    def add(self, **fields: Any) -> int:
        number = len(self.issues) + 1
        self.issues[number] = {"number": number, "state": "open", "labels": [], **fields}
        return number

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        place, _, query = path.partition("?")
        rest = place.removeprefix("/repos/a/b/issues").strip("/")
        if self.broken or (method == "GET" and not query):
            return 500, {"message": "out of order"}
        if method == "GET":
            asked = dict(each.split("=") for each in query.split("&"))
            found = [i for i in self.issues.values() if i["state"] == asked["state"] and asked["labels"] in i["labels"]]
            assert (asked["sort"], asked["direction"]) == ("created", "asc")
            return 200, found[: int(asked["per_page"])]
        if method == "POST" and not rest:
            return 201, self.issues[self.add(**body)]
        number = int(rest.partition("/")[0])
        if method == "POST":
            self.comments.append((number, body["body"]))
            return 201, {}
        self.issues[number].update(body)
        return 200, self.issues[number]


@pytest.fixture
def tracker() -> Iterator[tuple[Tracker, issue.Host]]:
    tracker = Tracker()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            assert self.headers["Authorization"] == "Bearer secret"
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            status, said = tracker.answer(self.command, self.path, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        do_GET = do_POST = do_PATCH = _do  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield tracker, issue.Host("a/b", "secret", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Both = tuple[Tracker, issue.Host]


def test_one_issue_is_opened_updated_while_it_is_open_and_closed(tracker: Both) -> None:
    kept, host = tracker
    assert issue.report(host, False, "first", RUN) == "failed: issue 1 is opened"
    assert issue.report(host, False, "second", RUN) == "failed: issue 1 is updated"
    assert (kept.issues[1]["body"], kept.issues[1]["labels"], len(kept.issues)) == ("second", ["upstream"], 1)
    assert issue.report(host, True, "", RUN) == "passed: issue 1 is closed"
    assert kept.comments == [(1, f"They pass again: {RUN}")]
    assert issue.report(host, True, "", RUN) == "passed, and no issue is open"
    assert issue.report(host, False, "third", RUN) == "failed: issue 2 is opened"
    assert (kept.issues[1]["body"], kept.issues[1]["state"]) == ("second", "closed")


def test_other_issues_and_pull_requests_are_left_alone(tracker: Both) -> None:
    kept, host = tracker
    kept.add(labels=["bug"], body="mine")
    kept.add(labels=["upstream"], body="a change", pull_request={})
    kept.add(labels=["upstream"], body="older")
    kept.add(labels=["upstream"], body="newer")
    assert issue.report(host, False, "found", RUN) == "failed: issue 3 is updated"
    assert [each["body"] for each in kept.issues.values()] == ["mine", "a change", "found", "newer"]


def test_a_host_that_refuses_is_an_error_that_says_so(tracker: Both) -> None:
    kept, host = tracker
    kept.broken = True
    with pytest.raises(issue.HostError, match=r"500 .*out of order"):
        issue.report(host, False, "found", RUN)
    with pytest.raises(issue.HostError, match="GET http"):
        issue.report(issue.Host("a/b", "secret", "http://127.0.0.1:1"), False, "found", RUN)


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    """The report of a real run, with one test that passes, one that fails and one whose fixture does."""
    module = tmp_path / "test_made_up.py"
    module.write_text(
        "import pytest\n@pytest.fixture\ndef broken():\n    raise OSError('no @everyone')\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_one(n):\n    assert n == 1, '```` ends'\n"
        "def test_two(broken):\n    pass\n"
    )
    path = tmp_path / "junit.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={path}", "--rootdir", str(tmp_path), str(module)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    assert subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment).returncode == 1
    return path


def test_the_tests_that_failed_are_named_as_pytest_takes_them(junit: Path) -> None:
    found = issue.failures_of(junit)
    assert found is not None
    assert [each.test for each in found] == ["test_made_up.py::test_one[2]", "test_made_up.py::test_two"]
    assert "```` ends" in found[0].message
    body = issue.text(found, ["numpy 2.4.6 -> 2.5.0rc1"], "", RUN)
    assert "2 failed twice" in body
    assert "numpy 2.4.6 -> 2.5.0rc1" in body
    assert body.count("````") == 4  # two fences, and nothing inside ends them


def test_what_was_not_run_is_said_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.xml").write_text("<testsuites><testsuite/></testsuites>")
    for name in ("none.xml", "empty.xml"):
        assert issue.failures_of(tmp_path / name) is None
    assert "pip cannot" in issue.text(None, [], "pip cannot", RUN)


def test_an_issue_has_room_for_what_is_found() -> None:
    many = [issue.Failure(f"tests/a/test_{n}.py::" + "x" * 200, "y" * issue.MOST_CHARACTERS) for n in range(3000)]
    body = issue.text(many, [f"package-{n} 1.0 -> 2.0" for n in range(200)], "", RUN)
    assert "3000 failed twice" in body
    assert "2950 more" in body
    assert len(body) < 65_536


def test_versions_are_compared_by_name_however_it_is_spelled() -> None:
    locked = "numpy==2.4.6\n    # via\nTyping_Extensions==4.0\nsame==1\ngone==1\n"
    found = "numpy==2.5.0rc1\ntyping-extensions==4.1\nsame==1\nnew==3\n"
    assert issue.differences(locked, found) == [
        "numpy 2.4.6 -> 2.5.0rc1",
        "typing-extensions 4.0 -> 4.1",
        "new 3 is not locked",
    ]

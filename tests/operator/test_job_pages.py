"""The operator's pages: a job while it runs and after it, and what is left of it under the next operator."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import msgspec
import pytest

from shuffle_operator.handlers.job_pages import line_by_status
from shuffle_operator.history.document import JobHistory, JobList
from shuffle_operator.settings import dashboard_token, from_environment
from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.messages import Phase
from tests.operator.stage import NAMESPACE, Stage, sort_job

TOKEN = "a-token-of-some-length"


async def read(stage: Stage, path: str) -> bytes:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession() as session, session.get(stage.pages + path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def listed(stage: Stage) -> JobList:
    return msgspec.json.decode(await read(stage, "/api/jobs"), type=JobList)


async def test_a_job_is_shown_while_it_runs_after_it_and_under_the_next_operator(
    stage: Stage, events: Path, tmp_path: Path
) -> None:
    stage.pages_token = tmp_path / "token"
    stage.pages_token.write_text(f"{TOKEN}\n")
    await stage.start()
    options = {"access_key": "NEVER-SHOWN"}
    body = sort_job(
        events, tmp_path / "out", workers={"replicas": 2, "env": [{"name": "SECRET", "value": "NEVER-SHOWN"}]}
    )
    body["spec"]["inputs"][0]["storage"] = {"options": options}
    await stage.submit(body)
    uid = stage.job()["metadata"]["uid"]
    (line,) = (await listed(stage)).jobs
    assert (line.name, line.namespace, line.uid) == ("sorted", NAMESPACE, uid)
    await stage.until(lambda: stage.status().get("phase") in ("Complete", "Failed"))
    text = await read(stage, f"/api/jobs/{uid}")
    history = msgspec.json.decode(text, type=JobHistory)
    assert history.job.namespace == NAMESPACE
    assert history.progress.phase is Phase.COMPLETE, history.progress
    assert history.rows.read.rows == history.rows.written.rows > 0
    assert history.partial == ""
    assert b"NEVER-SHOWN" not in text + await read(stage, f"/api/jobs/{uid}/report.html")

    await stage.kill()
    await stage.start()
    (line,) = (await listed(stage)).jobs
    assert (line.uid, line.phase, line.over) == (uid, Phase.COMPLETE, True)
    assert line.rows_read == history.rows.read.rows
    async with aiohttp.ClientSession() as session:
        for path in ("/api/jobs", f"/api/jobs/{uid}", "/"):
            assert (await session.get(stage.pages + path)).status == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await session.get(f"{stage.pages}/api/jobs/{uid}", headers=headers)).status == 404


@pytest.mark.parametrize(
    ("text", "about"), [("", "0 characters"), ("short\n", "5 characters"), (None, "cannot be read")]
)
def test_a_token_that_is_none(tmp_path: Path, text: str | None, about: str) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidSpec, match=about):
        dashboard_token(str(file))
    with pytest.raises(InvalidSpec, match="SHUFFLE_DASHBOARD_TOKEN_FILE"):
        dashboard_token("")


def test_settings() -> None:
    given = {"SHUFFLE_WORKER_IMAGE": "w", "SHUFFLE_ADDRESS": "http://o:8080"}
    assert from_environment(given).dashboard_port == 0
    found = from_environment({**given, "SHUFFLE_DASHBOARD_PORT": "8090", "SHUFFLE_DASHBOARD_TOKEN_FILE": "/t"})
    assert (found.dashboard_port, found.dashboard_token_file) == (8090, "/t")


@pytest.mark.parametrize(
    "status", [None, {}, {"phase": "Odd", "progress": None}, {"rows": None, "message": None, "completionTime": "x"}]
)
def test_resources_that_say_little(status: dict[str, object] | None) -> None:
    line = line_by_status({"metadata": {"name": "a", "uid": "u"}, "status": status})
    assert (line.name, line.phase, line.over) == ("a", Phase.PENDING, False)

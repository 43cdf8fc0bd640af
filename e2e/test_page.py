"""The page of jobs, by the chart: behind its token, live, when a worker is lost, and after the operator has gone."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.cluster import PROJECT, Cluster
from e2e.harness.faults import Faults
from e2e.harness.jobs import REPARTITION, Job
from e2e.harness.operator import NAMESPACE, RELEASE, Operator
from e2e.harness.pages import SECRET, SERVICE, Pages, secret
from e2e.harness.process import run
from e2e.harness.waiting import until
from e2e.test_lost_operator import replaced
from shuffle_operator.web.report import history_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def pages(operator: Operator) -> Iterator[Pages]:
    """As docs/security.md says."""
    found = Pages(operator, secrets.token_hex(16))
    operator.kubectl.apply(secret(found.token))
    operator.install(**{"dashboard.enabled": "true", "dashboard.tokenSecret.name": SECRET})
    yield found
    found.close()
    operator.install()
    operator.kubectl.delete("secret", SECRET)


@contextlib.contextmanager
def browser(pages: Pages, path: str) -> Iterator[Page]:
    """A real Chromium, logged in with the token as the password."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        context = chromium.new_context(http_credentials={"username": "anybody", "password": pages.token})
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(f"{pages.address}{path}")
        yield page
        chromium.close()


def uid_of(job: Job) -> str:
    return str(job.object["metadata"]["uid"])


def test_it_is_behind_its_token_at_a_service_of_its_own(pages: Pages, operator: Operator) -> None:
    login = base64.b64encode(f"anybody:{pages.token}".encode()).decode()
    for given, status in {
        "": 401,
        "Bearer": 401,
        f"Bearer {pages.token}x": 401,
        f"Bearer {pages.token}": 200,
        f"Basic {login}": 200,
    }.items():
        for path in ("/", "/api/jobs", "/static/page.js"):
            answer = pages.ask(path, given)
            assert (answer.status, path) == (status, path)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert pages.ask("/", "").headers["WWW-Authenticate"].startswith("Basic")

    inside = f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}:http/proxy"
    assert "NotFound" in operator.kubectl("get", "--raw", f"{inside}/api/jobs", check=False)
    described = json.dumps(operator.pod()) + operator.logs()
    assert pages.token not in described
    service = operator.kubectl.get("service", SERVICE)
    assert service is not None
    assert [port["port"] for port in service["spec"]["ports"]] == [80]
    if operator.isolates:
        policy = operator.kubectl.get("networkpolicy", RELEASE)
        assert policy is not None
        assert [{"port": 8090, "protocol": "TCP"}] in [rule["ports"] for rule in policy["spec"]["ingress"]]


def test_a_job_is_watched_live_and_a_lost_worker_shows(
    submit: Submit, pages: Pages, faults: Faults, slowly: None, as_local: Compare, tmp_path: Path
) -> None:
    job = submit("watched", REPARTITION, output={"report": True})
    job.until_phase("Transferring")
    uid = uid_of(job)
    with browser(pages, "/") as page, pages.watching(uid) as live:
        page.get_by_role("link", name="watched").click()
        page.locator(".link[data-state=live]").wait_for()
        live.until("it is live", lambda now: now["progress"]["phase"] == "Transferring")
        percent, updates = live.document["progress"]["percent"], live.updates
        live.until("it moves", lambda now: now["progress"]["percent"] > percent)
        assert live.updates > updates
        lost = until("workers run", lambda: len(job.running()) == 3 and job.running(), seconds=60)[1]
        faults.kill(lost)
        live.until("the loss is shown", lambda now: now["losses"].get("lost"))
        (loss,) = live.document["losses"]["lost"]
        assert loss["worker"] == 1
        page.locator("#losses tbody tr", has_text="1").first.wait_for(state="attached")
        status = job.complete(seconds=500)
        until("the stream ends", lambda: live.ended, seconds=30, said=lambda: live.broken)
        page.locator(".phase", has_text="✓ Complete").wait_for()
        page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
        print(f"the page: {tmp_path / 'page.png'}")
    as_local(job)
    now = live.document
    assert now["progress"]["phase"] == "Complete"
    assert now["rows"]["written"]["rows"] == status["rows"]["written"]
    assert now["losses"]["lost"][0]["why"]
    assert now["losses"]["lost"][0]["repaired_after"] is not None
    assert re.search(r"\d", now["verdict"]["sentence"])
    (line,) = [one for one in pages.json("/api/jobs")["jobs"] if one["uid"] == uid]
    assert (line["namespace"], line["phase"], line["over"]) == (job.kubectl.namespace, "Complete", True)
    assert b"shuffle-secret" not in pages.ask(f"/api/jobs/{uid}/report.html").text.encode()

    # The report beside the output is the same history, and stays when the operator goes.
    written = history_in(job.bucket.files.cat_file(f"{job.bucket.name}/{job.output}_report.html").decode())
    assert written.progress.phase == "Complete"
    assert [one.worker for one in written.losses.lost] == [1]
    assert written.output.rows == status["rows"]["written"]


def shuffle(job: Job, cluster: Cluster, *words: str | Path, check: bool = True) -> str:
    """The program, as a person outside of the cluster calls it."""
    storage = job.bucket.storage
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "AWS_ACCESS_KEY_ID": storage.key,
        "AWS_SECRET_ACCESS_KEY": storage.secret,
        "AWS_ENDPOINT_URL": storage.outside,
    }
    program = [PROJECT / ".venv/bin/shuffle", *words, "--namespace", job.kubectl.namespace]
    return run(program, check=check, environment=environment)


def test_histories_go_with_the_operator_and_reports_stay(
    submit: Submit, pages: Pages, operator: Operator, cluster: Cluster, tmp_path: Path
) -> None:
    job = submit("kept", REPARTITION, output={"report": True})
    other = submit("unkept", REPARTITION)
    job.complete()
    other.complete()
    access = ["--url", pages.address, "--token", pages.token]
    shuffle(other, cluster, "report", "unkept", *access, "-o", tmp_path / "of-pages.html")
    assert history_in((tmp_path / "of-pages.html").read_text()).job.name == "unkept"
    assert "token is missing or wrong" in shuffle(
        other, cluster, "report", "unkept", "--url", pages.address, "--token", "no", check=False
    )
    until("all is gone", lambda: not job.running() and "cleaningUp" not in job.status, seconds=60)
    replaced(operator)
    pages.again()
    lines = {one["uid"]: one for one in pages.json("/api/jobs")["jobs"]}
    for each in (job, other):
        assert (lines[uid_of(each)]["phase"], lines[uid_of(each)]["over"]) == ("Complete", True)
        assert pages.ask(f"/api/jobs/{uid_of(each)}").status == 404
    access = ["--url", pages.address, "--token", pages.token]
    assert "ended before this operator began" in shuffle(other, cluster, "report", "unkept", *access, check=False)
    assert "wrote no report" in shuffle(other, cluster, "report", "unkept", check=False)
    shuffle(job, cluster, "report", "kept", "-o", tmp_path / "kept.html")
    shuffle(job, cluster, "report", job.bucket.url(job.output), "-o", tmp_path / "by-path.html")
    assert (tmp_path / "kept.html").read_text() == (tmp_path / "by-path.html").read_text()
    assert history_in((tmp_path / "kept.html").read_text()).job.uid == uid_of(job)


def test_a_job_that_is_taken_over_says_what_its_page_does_not_know(
    submit: Submit, pages: Pages, operator: Operator, slowly: None
) -> None:
    job = submit("orphan", REPARTITION)
    job.until_phase("Transferring")
    before = pages.json(f"/api/jobs/{uid_of(job)}")
    assert before["partial"] == ""
    replaced(operator)
    pages.again()
    until("it is taken over", lambda: pages.ask(f"/api/jobs/{uid_of(job)}").status == 200, seconds=60)
    after = pages.json(f"/api/jobs/{uid_of(job)}")
    assert after["partial"]
    assert after["job"]["started"] == pytest.approx(before["job"]["started"], abs=5)
    job.complete(seconds=500)
    end = pages.json(f"/api/jobs/{uid_of(job)}")
    assert (end["progress"]["phase"], end["partial"]) == ("Complete", after["partial"])


def test_a_token_is_rotated_without_a_restart(pages: Pages, operator: Operator) -> None:
    pod, old = operator.pod()["metadata"]["uid"], pages.token
    pages.token = secrets.token_hex(16)
    operator.kubectl.apply(secret(pages.token))
    # The kubelet looks at mounted Secrets once a minute or so.
    until("the new token is good", lambda: pages.ask("/api/jobs").status == 200, seconds=180, every=2)
    assert pages.ask("/api/jobs", f"Bearer {old}").status == 401
    assert operator.pod()["metadata"]["uid"] == pod
    assert operator.pod()["status"]["containerStatuses"][0]["restartCount"] == 0
    assert "token was replaced" in operator.logs()
    operator.kubectl.apply(secret("short"))

    def said() -> bool:
        assert pages.ask("/api/jobs").status == 200  # the one before stays good
        return "5 characters" in operator.logs()

    until("it says that this is none", said, seconds=180, every=2)

"""`make cluster` and docs/kubernetes.md say how to go on with the local cluster: that must work as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from e2e.harness import guide as guides
from e2e.harness.cluster import LOCAL_IMAGE, SCRIPTS, Cluster, Storage
from e2e.harness.operator import RELEASE
from e2e.harness.s3 import Bucket
from tests.chart.rendered import CHART, PROJECT
from tests.storage.s3_server import ENVIRONMENT, s3_server

from shuffle_operator.api.validation import load_job

PAGE = PROJECT / "docs" / "kubernetes.md"
STORAGE = Storage("http://10.200.0.1:7480", "http://127.0.0.1:27480", "shuffle", "shuffle-secret")
MADE = Cluster(
    Path("/var/lib/shuffle-e2e/admin.kubeconfig"),
    Path("$HOME/.cache/shuffle-operator-e2e/bin"),
    LOCAL_IMAGE,
    STORAGE,
    local=True,
    state=Path("/var/lib/shuffle-e2e"),
)


def command(purpose: str) -> str:
    return guides.commands(MADE, {})[purpose]


def of_script(name: str, pattern: str) -> str:
    found = re.search(pattern, (SCRIPTS / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, (name, pattern)
    return found[1]


def test_the_scripts_make_what_is_told() -> None:
    host, port = of_script("lib.sh", r"^CP_IP=(\S+)"), of_script("s3.sh", r"^ip=\$CP_IP port=(\d+)")
    assert f"http://{host}:{port}" == STORAGE.inside
    assert STORAGE.outside.endswith(of_script("s3.sh", r"^E2E_S3_PORT=\$\{E2E_S3_PORT:-(\d+)\}"))
    assert of_script("s3.sh", r"^access=(\S+)") == STORAGE.key
    assert of_script("s3.sh", r"^access=\S+ secret=(\S+)") == STORAGE.secret
    assert of_script("lib.sh", r"^E2E_STATE=\$\{E2E_STATE:-(\S+?)\}") == str(MADE.state)


def test_the_page_has_the_commands_and_the_facts() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Try it on this machine\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert blocks[0] == "make cluster\n"
    listed = "\n\n".join(f"# {purpose.lower()}\n{typed}" for purpose, typed in guides.commands(MADE, {}).items())
    assert blocks[1] == f"{listed}\n"
    for fact in (LOCAL_IMAGE, STORAGE.inside, STORAGE.outside, guides.BUCKET, guides.EVENTS):
        assert f"`{fact}`" in section, fact
    told = guides.guide(MADE, {})
    for fact in (LOCAL_IMAGE, STORAGE.inside, STORAGE.outside, guides.BUCKET, guides.EVENTS, "shuffle-secret"):
        assert fact in told, fact


def test_helm_takes_the_values_and_runs_the_image_that_is_built(helm: Path, tmp_path: Path) -> None:
    """The command as it is printed, with `template` for `install`: the same chart, values and flags."""
    words = shlex.split(command("Install the operator").replace("\\\n", " "))
    assert words[:4] == ["helm", "install", RELEASE, str(CHART.relative_to(PROJECT))]
    rendering = [str(helm), "template", *words[2:], "--kube-version=1.20.2"]
    done = subprocess.run(
        rendering, capture_output=True, text=True, check=False, cwd=PROJECT, env={"HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    objects = [found for found in yaml.safe_load_all(done.stdout) if found]
    (deployment,) = [found for found in objects if found["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["image"] == LOCAL_IMAGE
    assert environment["SHUFFLE_WORKER_IMAGE"] == LOCAL_IMAGE
    assert environment["SHUFFLE_NAMESPACES"] == guides.NAMESPACE
    assert deployment["metadata"]["namespace"] == guides.NAMESPACE


def test_every_value_on_the_page_is_one_of_the_charts() -> None:
    """In `--set` and `--set-string`, for the whole page: a name that the chart has not would be refused by helm."""
    known = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    named = re.findall(r"--set(?:-string)?[ =]'?(\S+)", PAGE.read_text(encoding="utf-8"))
    assert len(named) >= 4
    for setting in named:
        for name in re.findall(r"(?:^|,)([\w.]+)=", setting):
            where = known
            for part in name.split("."):
                assert part in where, name
                where = where[part]


def test_the_job_reads_what_is_there_with_the_secret_that_is_made() -> None:
    job = load_job(PROJECT / guides.JOB)
    secret = re.search(r"create secret generic (\S+)", command("Store the credentials"))
    assert secret is not None
    assert job.spec.inputs[0].path == f"s3://{guides.BUCKET}/{guides.EVENTS}"
    assert job.spec.output.path == f"s3://{guides.BUCKET}/{guides.OUTPUT}"
    for storage in (job.spec.inputs[0].storage, job.spec.output.storage):
        assert storage is not None
        assert storage.secret_ref is not None
        assert (storage.endpoint, storage.secret_ref.name) == (STORAGE.inside, secret[1])
    assert f"shj/{job.metadata.name} " in command("Run a job")
    assert f"apply -f {guides.JOB}\n" in command("Run a job")


def test_the_events_are_put_into_the_bucket_and_the_output_is_listed_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against an S3 server; the command for listing is run by a shell as it is printed, with this Python."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with s3_server() as address:
        storage = Storage(STORAGE.inside, address, STORAGE.key, STORAGE.secret)
        bucket = Bucket(guides.BUCKET, storage)
        guides.fill(bucket, tmp_path, size="1M")
        guides.fill(bucket, tmp_path, size="1M")  # `make cluster` on one that is up
        names = bucket.names(guides.EVENTS)
        data = [name for name in names if not name.startswith((".", "_"))]  # the others are not read
        assert data
        assert all(name.endswith(".parquet") for name in data)

        bucket.files.pipe_file(f"{guides.BUCKET}/{guides.OUTPUT}_SUCCESS", b"")
        made = Cluster(MADE.kubeconfig, MADE.programs, LOCAL_IMAGE, storage, local=True)
        typed = guides.commands(made, {})["See what it wrote"].replace(".venv/bin/python", sys.executable)
        shown = subprocess.run(["/bin/sh", "-c", typed], capture_output=True, text=True, check=True, cwd=PROJECT)
        assert shown.stdout.split() == [f"{guides.BUCKET}/{guides.OUTPUT}_SUCCESS"]


def test_a_cluster_of_another_name_is_taken_down_by_that_name() -> None:
    own = {"E2E_NAME": "mine", "E2E_STATE": "/tmp/mine", "HOME": "/root"}
    assert (
        guides.commands(MADE, own)["Take the cluster down"] == "E2E_NAME=mine E2E_STATE=/tmp/mine e2e/cluster/down.sh"
    )
    assert (PROJECT / command("Take the cluster down")).is_file()

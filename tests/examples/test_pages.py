"""What the pages show can be done: every job is run, every part of one is valid, every command is one that there is.

The jobs of docs/apply.md, docs/map-overlap.md, docs/coming-from.md and docs/recipes.md are run by tests of their own,
which look at the rows, and docs/kubernetes.md's commands by e2e/ in a cluster.
"""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml

from shuffle_local.cli.main import execute
from shuffle_local.cli.optional import with_values
from shuffle_local.cli.program import COMMANDS, program_of
from shuffle_operator.api.resolve import unsupported
from shuffle_operator.api.validation import load_job

PROJECT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), *PROJECT.glob("*/README.md")]
    if "reference" not in page.parts
)
MODULES = re.compile(r"```python\n# (\w+\.py), beside the job file\n(.*?)```", re.DOTALL)
"""Functions of a page's job."""
WITH_TESTS_OF_THEIR_OWN = {"apply.md", "map-overlap.md", "recipes.md"}


class Block(NamedTuple):
    """What is between two fences of a page."""

    page: Path
    line: int
    kind: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


def blocks(*kinds: str) -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^( *)```(\w+)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            if found[2] in kinds:
                yield Block(page, text.count("\n", 0, found.start()) + 1, found[2], found[3])


def is_job(block: Block) -> bool:
    return re.search(r"^kind: ShuffleJob$", block.text, re.MULTILINE) is not None


YAML = list(blocks("yaml"))
JOBS = [block for block in YAML if is_job(block)]
PARTS = [block for block in YAML if not is_job(block)]
COMMAND_LINES = [
    pytest.param(line.removeprefix("$ "), id=f"{block.id} {line}")
    for block in blocks("sh", "console")
    for line in block.text.replace("\\\n", " ").splitlines()
    if line and not line.startswith("#") and (block.kind == "sh" or line.startswith("$ "))
]


# -- jobs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lake(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each bucket that the pages name, and what they have in them."""
    folder = tmp_path_factory.mktemp("lake")
    (folder / "demo").symlink_to(demo / "demo", target_is_directory=True)
    (folder / "events").symlink_to(demo / "demo/events", target_is_directory=True)
    for name in ("bucket/events", "bucket/events/2026-01"):
        shutil.copytree(demo / "demo/events", folder / name)
    for name, table in (
        ("bucket/users/all.parquet", pa.table({"id": list(range(50)), "country": ["DE", "AT"] * 25})),
        ("lake/events/dt=2026-01-01/all.parquet", pa.table({"user": [1, 2, 3, 1]})),
        ("bucket/web/all.parquet", pa.table({"user": [1, 2], "page": ["/", "/a"], "is_bot": [False, True]})),
    ):
        (folder / name).parent.mkdir(parents=True)
        pq.write_table(table, folder / name)
    for name, text in (
        ("bucket/raw/one.csv.gz", "zip;at;country\n04109;2026-01-01T00:00:00Z;DE\n1010;NA;AT\n"),
        ("bucket/app/one.csv.gz", "uid,ts,screen\n1,2026-01-01T00:00:00Z,home\n"),
    ):
        (folder / name).parent.mkdir()
        with gzip.open(folder / name, "wt") as file:
            file.write(text)
    make = [sys.executable, str(PROJECT / "examples/demo/make_weather.py"), str(folder / "bucket/era5.zarr")]
    subprocess.run(make, capture_output=True, check=True)
    return folder


@pytest.mark.parametrize("block", JOBS, ids=lambda block: block.id)
def test_a_job_is_valid_in_a_cluster_too(block: Block) -> None:
    assert unsupported(load_job(block.text), local=False) == []


@pytest.mark.parametrize(
    "block", [job for job in JOBS if job.page.name not in WITH_TESTS_OF_THEIR_OWN], ids=lambda block: block.id
)
def test_a_job_runs(block: Block, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets are folders here, and outputs go to a folder of the test."""
    monkeypatch.chdir(lake)
    job = yaml.safe_load(block.text.replace("s3://", f"{lake}/"))
    for end in [*job["spec"]["inputs"], job["spec"]["output"]]:
        end.pop("storage", None)
    output = tmp_path / Path(job["spec"]["output"]["path"]).name
    job["spec"]["output"]["path"] = str(output)
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job, sort_keys=False))
    for module, text in MODULES.findall(block.page.read_text(encoding="utf-8")):
        (tmp_path / module).write_text(text)
    assert execute(["run", str(file), "--quiet", "--workers", "1", "--memory", "512Mi"]) == 0
    assert (output / "_SUCCESS").exists()


# -- parts of jobs, and other YAML ------------------------------------------------------------------------------------

WHOLE = """
apiVersion: shuffle-operator.dev/v1alpha1
kind: ShuffleJob
metadata: {name: part}
spec:
  operation: {repartition: {}}
  inputs: [{path: events/}]
  output: {path: out/}
"""
OTHER_PROGRAMS = ("plugins:", "apiVersion: argoproj.io/", "apiVersion: networking.k8s.io/")
"""What the settings of Flyte, a workflow of Argo and an Ingress begin with."""


def completed(block: Block) -> dict[str, Any]:
    """A whole job with the part in it."""
    job: dict[str, Any] = yaml.safe_load(WHOLE)
    text = re.sub(r"\w{4}\.\.\. *#", "a" * 64 + "  #", block.text)
    part: dict[str, Any] = yaml.safe_load(re.sub(r"\bon:", '"on":', text))  # PyYAML takes `on` for true
    if "schema" in part:
        part = {"operation": {"groupBy": {"by": ["user_id"], "apply": "a:b", **part}}}
    spec = part.get("spec", part)
    if set(spec) in ({"functions"}, {"backend"}):
        spec = {**spec, "operation": {"groupBy": {"by": ["user_id"], "apply": "a:b"}}}
    names = [spec.get("operation", {}).get("join", {}).get(side) for side in ("left", "right")]
    names += [side["right"] for side in spec.get("operation", {}).get("join", {}).get("sides", [])]
    names = [name for name in names if name]
    if names:
        spec = {**spec, "inputs": [{"name": name, "path": f"{name}/"} for name in names]}
    job["spec"] |= spec
    return job


@pytest.mark.parametrize("block", PARTS, ids=lambda block: block.id)
def test_a_part_of_a_job_makes_a_job_valid(block: Block) -> None:
    if not block.text.startswith(OTHER_PROGRAMS):
        load_job(yaml.safe_dump(completed(block), sort_keys=False))
    elif "manifest: |" in block.text:
        [template] = yaml.safe_load(block.text)["spec"]["templates"]
        assert load_job(re.sub(r"generateName: (.*)-", r"name: \1", template["resource"]["manifest"]))
    else:
        assert yaml.safe_load(block.text)


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_is_one_that_there_is(line: str) -> None:
    line = re.sub(r"^([A-Z_0-9]+=\S+ +)+", "", line.partition(" | ")[0].replace("/mnt/fast-disk", "/tmp"))
    words = shlex.split(line, comments=True)
    if words[0] in ("shuffle", "kubectl-shuffle"):
        shuffle(words[1:])
    elif words[0] in ("kubectl", "argo", "helm", "python", "pyflyte", "docker"):
        for word in words:
            if re.match(r"(charts|examples|crds)/", word):
                assert (PROJECT / word).exists(), word
    else:
        known = (
            "make",
            "pip",
            "git",
            "export",
            ".",
            "e2e/cluster/down.sh",
            "e2e/core.sh",
            ".ci/run",
            ".venv/bin/python",
        )
        assert words[0] in known, words[0]


def shuffle(words: list[str]) -> None:
    """Its options are read as when it is called, and nothing is done."""
    if words == ["--version"]:
        return
    assert words[0] in COMMANDS, words
    program: Any = typer.main.get_command(program_of(words))
    given = with_values(words)[1:]
    with program.commands[words[0]].make_context(words[0], given) as context:
        assert context.command.name == words[0]


def test_an_option_that_is_not_there_is_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        shuffle(["run", "job.yaml", "--no-such-option"])


def test_getting_started_is_as_it_says(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of docs/getting-started.md that make a job, check it and run it, in their order."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/events").symlink_to(demo / "demo/events", target_is_directory=True)
    text = (PROJECT / "docs/getting-started.md").read_text(encoding="utf-8").partition("## ")[2]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    wanted = [shlex.split(line)[1:] for line in lines if re.match(r"shuffle (init|validate|run) job.yaml", line)][:3]
    assert [words[0] for words in wanted] == ["init", "validate", "run"]
    for words in wanted:
        assert execute(words) == 0
    assert len(list((tmp_path / "demo/mine").glob("part-*.parquet"))) == 8

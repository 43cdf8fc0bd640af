"""Every command with every kind of wrong, extreme or hostile value: a sentence on standard error, the right exit code,
never a traceback, and nothing written."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.jobs import JOB

from shuffle_local.cli.program import COMMANDS

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
FILES: dict[str, bytes] = {
    "empty.yaml": b"",
    "blank.yaml": b"\n\n   \n",
    "comment.yaml": b"# nothing\n",
    "binary.yaml": bytes(range(256)) * 40,
    "latin.yaml": JOB.replace("events", "événements").encode("latin-1"),
    "utf16.yaml": JOB.encode("utf-16"),
    "huge.yaml": b"a: " + b"x" * (2 << 20),
    "tabs.yaml": JOB.replace("  operation", "\toperation").encode(),
    "several.yaml": f"{JOB}---\n{JOB}".encode(),
    "twice.yaml": JOB.replace("  output", "  inputs: []\n  output").encode(),
    "bomb.yaml": BOMB.encode(),
    "loop.yaml": b"a: &a {b: *a}\n",
    "deep.yaml": b"{a: " * 2000 + b"1" + b"}" * 2000,
    "list.yaml": b"- a\n- b\n",
    "word.yaml": b"hello\n",
    "number.yaml": b"42\n",
    "json.yaml": b'{"apiVersion": 1}',
    "tag.yaml": b"!!python/object/apply:os.system ['touch pwned']\n",
    "unknown.yaml": JOB.replace("repartition", "repartitoin").encode(),
    "other.yaml": b"apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n",
    "nul.yaml": JOB.replace("events", "ev\0ents").encode(),
}
OF_A_FILE = ("validate", "explain", "run", "submit", "doctor")


@pytest.fixture(autouse=True)
def _files(shuffle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the empty folder that `shuffle` runs in; no cluster is configured."""
    for name, data in FILES.items():
        Path(name).write_bytes(data)
    Path("job.yaml").write_text(JOB)
    Path("in.csv").write_text("a,b\n1,2\n")
    Path("folder").mkdir()
    monkeypatch.setenv("KUBECONFIG", str(Path("nothing").absolute()))
    del shuffle


def is_a_sentence(outcome: Any) -> None:
    said = outcome.err.strip()
    assert said
    assert "Traceback" not in said
    assert "Internal" not in said
    assert "None" not in said
    assert len(said) < 2500, said
    assert not Path("pwned").exists()
    assert not Path("out").exists()


@pytest.mark.parametrize("command", OF_A_FILE)
@pytest.mark.parametrize("name", [*FILES, "missing.yaml", "folder", "", "job.yaml/x", "x" * 300, "nul\0", "/dev/null"])
def test_no_job_file(shuffle: Any, command: str, name: str) -> None:
    outcome = shuffle(command, name)
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    is_a_sentence(outcome)


@pytest.mark.parametrize("command", OF_A_FILE)
@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(shuffle: Any, command: str) -> None:
    Path("job.yaml").chmod(0)
    outcome = shuffle(command, "job.yaml")
    assert outcome.code == 2
    is_a_sentence(outcome)


@pytest.mark.parametrize("name", FILES)
def test_the_same_for_programs(shuffle: Any, name: str) -> None:
    import json

    outcome = shuffle("validate", "--json", name)
    assert (outcome.code, outcome.err) == (2, "")
    assert json.loads(outcome.out)["problems"]


WRONG: list[tuple[str, str]] = [
    *(
        (f"{command} job.yaml {option} {value}", "")
        for command in ("run", "explain")
        for option, values in {
            "--workers": ("0", "-1", "1025", "two", "1.5", "99999999999999999999", "''"),
            "--memory": ("0", "1", "10Mi", "65Ti", "512MB", "lots", "-1Gi", "1e400", "nan", "''", "0x10"),
        }.items()
        for value in values
    ),
    ("run job.yaml --scratch missing/deep", "does not exist"),
    ("run job.yaml --scratch job.yaml", "is a file"),
    ("run job.yaml --log folder", "is a directory"),
    ("run job.yaml --log missing/log", "cannot be written: No such file or directory"),
    ("run job.yaml --log job.yaml/log", "cannot be written: Not a directory"),
    ("run job.yaml --log " + "x" * 300, "cannot be written: File name too long"),
    ("run", "Missing argument"),
    ("run job.yaml another.yaml", "unexpected extra argument"),
    ("run job.yaml --nothing", "No such option"),
    ("run --workers", "requires an argument"),
    ("init job.yaml", "exists already"),
    ("init folder", "is a folder"),
    ("init missing/job.yaml", "cannot be written"),
    ("init new.yaml --partitions 0", "expected a whole number from 1 to 1,000,000"),
    ("init new.yaml --partitions x", ""),
    ("init new.yaml --by a --sort b", "give one of --by, --sort and --join"),
    ("init new.yaml --output ''", "empty string"),
    ("init new.yaml --input x --output x", "is the input"),
    ("init " + "x" * 300, "cannot be written: File name too long"),
    ("logs job --worker -1", ""),
    ("logs job --lines 0", ""),
    ("logs", "Missing argument"),
    ("status --nothing", "No such option"),
    ("crd extra", "unexpected extra argument"),
    ("validat", "Did you mean 'validate'"),
    ("--verbose", "No such option"),
]


@pytest.mark.parametrize(("line", "said"), WRONG, ids=lambda text: str(text)[:60])
def test_a_wrong_value_of_an_option(shuffle: Any, line: str, said: str) -> None:
    import shlex

    outcome = shuffle(*shlex.split(line))
    assert outcome.code == 2, outcome.err
    assert said in " ".join(outcome.err.split())
    is_a_sentence(outcome)
    assert not Path("missing").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"], ["status", "x"], ["watch", "x"], ["logs", "x"], ["logs", "-f", "x"], ["cancel", "x"], ["doctor"],
        ["submit", "job.yaml"], ["submit", "job.yaml", "--wait"], ["status", "--context", "nothing"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("config", ["nothing", "folder", "binary.yaml", "empty.yaml", "list.yaml", "other.yaml"])
def test_no_cluster(shuffle: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], config: str) -> None:
    monkeypatch.setenv("KUBECONFIG", str(Path(config).absolute()))
    outcome = shuffle(*arguments)
    assert outcome.code == 1, outcome.err
    assert "NoCluster: no cluster is configured" in outcome.err
    is_a_sentence(outcome)


def test_a_kubeconfig_that_is_not_there_is_named(shuffle: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for named, place in (("/no/a:/no/b", "/no/a:/no/b"), ("", "~/.kube/config")):
        monkeypatch.setenv("KUBECONFIG", named)
        outcome = shuffle("status")
        assert outcome.code == 1
        assert outcome.err == (
            f"NoCluster: no cluster is configured: there is no kubeconfig at {place}; KUBECONFIG says where one is\n"
        )


CONTEXT = "{cluster: c, user: u}"
CLUSTER = "{server: 'https://127.0.0.1:1'}"


def kubeconfig(cluster: str = CLUSTER, context: str = CONTEXT, user: str = "{token: t}") -> str:
    return (
        f"apiVersion: v1\ncurrent-context: x\nclusters: [{{name: c, cluster: {cluster}}}]\n"
        f"contexts: [{{name: x, context: {context}}}]\nusers: [{{name: u, user: {user}}}]\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "word", "42", "{", "a:\n\t- b\n", "!!python/object/apply:os.system ['touch pwned']",
        "clusters: word", "clusters: [a]\ncontexts: [b]\nusers: [c]", "current-context: [x]\nclusters: {}\n",
        kubeconfig(context="word"), kubeconfig(context="{cluster: c, user: u, namespace: 5}"),
        kubeconfig(context="{cluster: c, user: u, namespace: [a]}"), kubeconfig(context="{cluster: [], user: {}}"),
        kubeconfig("word"), kubeconfig("{}"), kubeconfig("{server: 5}"), kubeconfig("{server: [a]}"),
        kubeconfig("{server: 'https://127.0.0.1:1', proxy-url: [a]}"),
        kubeconfig("{server: 'https://127.0.0.1:1', tls-server-name: [a]}"),
        kubeconfig("{server: 'https://127.0.0.1:1', certificate-authority: 5}"),
        kubeconfig("{server: 'https://127.0.0.1:1', certificate-authority-data: aGVsbG8=}"),
        kubeconfig("{server: 'https://127.0.0.1:1', certificate-authority-data: 5}"),
        kubeconfig(user="{client-certificate-data: aGVsbG8=, client-key-data: aGVsbG8=}"),
        kubeconfig(user="{auth-provider: {name: oidc, config: {id-token: a.b.c}}}"),
    ],
)  # fmt: skip
def test_a_kubeconfig_of_another_shape(shuffle: Any, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    Path("config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(Path("config").absolute()))
    outcome = shuffle("status", "x")
    assert outcome.code == 1, outcome.err
    assert "NoCluster: no cluster is configured" in outcome.err
    is_a_sentence(outcome)


@pytest.mark.parametrize("user", ["word", "{token: [a]}", '{token: "a\\nb"}', "{exec: word}", "{auth-provider: word}"])
def test_a_login_of_another_shape(shuffle: Any, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    Path("config").write_text(kubeconfig(user=user))
    monkeypatch.setenv("KUBECONFIG", str(Path("config").absolute()))
    outcome = shuffle("status", "x")
    assert outcome.code == 1, outcome.err
    assert "Internal" not in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", COMMANDS)
def test_short_help(shuffle: Any, command: str) -> None:
    outcome = shuffle(command, "-h")
    assert outcome.code == 0
    for kind in ("INTEGER", "TEXT", "<str>", "<int", "list["):
        assert kind not in re.sub(r"(NAME|JOB) <str>", "", outcome.out)


def test_a_shell_completes_commands_and_options(shuffle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SHUFFLE_COMPLETE", "complete_bash")
    for words, at, found in (("shuffle va", "1", "validate"), ("shuffle run --sc", "2", "--scratch")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", at)
        assert found in shuffle().out.split()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--memory", "10Ti"], "1 worker of 10.0 TiB may need 10.0 TiB, and this machine has"),
        (["--workers", "1000", "--memory", "300Mi"], "1,000 workers share"),
    ],
)
def test_more_than_the_machine_has_is_warned_of(shuffle: Any, options: list[str], said: str) -> None:
    outcome = shuffle("explain", "job.yaml", "--workers", "1", *options)
    assert outcome.code == 0
    assert f"Warning: {said}" in outcome.err

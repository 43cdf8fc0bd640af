"""The frame of the command line: help, version, exit codes, and what becomes of errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from shuffle_local.cli import program, validate
from shuffle_operator.api.schema import crd
from shuffle_protocol.errors import InvalidSpec, JobError, UserFunctionFailed


def test_help_names_every_command(shuffle: Any) -> None:
    outcome = shuffle("--help")
    assert outcome.code == 0
    for name, line in program.COMMANDS.items():
        assert f"  {name}" in outcome.out
        assert line in outcome.out


@pytest.mark.parametrize("name", list(program.COMMANDS))
def test_every_command_explains_itself(shuffle: Any, name: str) -> None:
    outcome = shuffle(name, "--help")
    assert outcome.code == 0
    assert f"Usage: shuffle {name}" in outcome.out


def test_the_version_is_the_distributions(shuffle: Any) -> None:
    from shuffle_protocol.release import described

    assert shuffle("--version") == (0, f"shuffle {described()}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["validat"], "Did you mean 'validate'"), (["validate"], "Missing argument"), (["--nonsense"], "No such option")],
)
def test_a_wrong_command_line_is_invalid_input(shuffle: Any, arguments: list[str], said: str) -> None:
    outcome = shuffle(*arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InvalidSpec("a word"), 2, "InvalidSpec: a word\n"),
        (UserFunctionFailed("it raised"), 1, "UserFunctionFailed: it raised\n"),
        (KeyboardInterrupt(), 130, ""),
        (ZeroDivisionError("nothing"), 1, "Internal: this is a defect of shuffle"),
    ],
)
def test_errors_are_told_and_decide_the_exit_code(
    shuffle: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(validate, "validate", fails)
    outcome = shuffle("validate")
    assert outcome.code == code
    assert said in outcome.err
    assert ("Traceback" in outcome.err) == (not isinstance(error, JobError | KeyboardInterrupt))


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("512MB", "did you mean 512M?"),
        ("10Mi", "expected 256Mi to 64Ti"),
        ("-1", "expected 256Mi to 64Ti"),
        ("", "no qua"),
    ],
)
def test_a_size_on_the_command_line_is_checked_like_one_in_a_job(shuffle: Any, size: str, said: str) -> None:
    outcome = shuffle("run", "job.yaml", f"--memory={size}")
    assert outcome.code == 2
    assert said in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err


def test_a_command_gives_its_own_exit_code(shuffle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends() -> None:
        raise typer.Exit(130)

    monkeypatch.setattr(validate, "validate", ends)
    assert shuffle("validate").code == 130


def test_the_resource_definition_is_printed(shuffle: Any) -> None:
    outcome = shuffle("crd")
    assert outcome.code == 0
    assert yaml.safe_load(outcome.out) == crd()


def test_a_reader_that_goes_away_causes_no_traceback() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", "from shuffle_local.cli.main import main; main()", "crd"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    said = program.stderr.read()
    program.stderr.close()
    assert program.wait() == 1
    assert said == b""


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], {"pydantic", "yaml", "pyarrow", "aiohttp", "numpy", "shuffle_operator.api"}),
        (["validate", "job.yaml"], {"pyarrow", "aiohttp", "numpy", "fsspec", "pandas"}),
    ],
)
def test_nothing_is_imported_that_is_not_needed(tmp_path: Path, arguments: list[str], heavy: set[str]) -> None:
    code = (
        "import sys; from shuffle_local.cli.main import execute; execute(sys.argv[1:]); "
        "print('loaded', *sorted(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.rpartition("loaded ")[2].split())
    assert "typer" in loaded
    assert not loaded & heavy

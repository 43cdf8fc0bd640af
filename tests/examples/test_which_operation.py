"""docs/which-operation.md: every operation is on it, and every one that it shows is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shuffle_operator.api.resolve import unsupported
from shuffle_operator.api.rules import OPERATIONS
from shuffle_operator.api.validation import load_job

PAGE = (Path(__file__).parents[2] / "docs/which-operation.md").read_text(encoding="utf-8")
SHOWN = [text for text in re.findall(r"`([^`]+)`", PAGE) if re.match(rf"({'|'.join(OPERATIONS)}): ", text)]


def test_every_operation_is_there() -> None:
    assert {text.partition(":")[0] for text in SHOWN} == set(OPERATIONS)


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_shown_is_valid(text: str) -> None:
    source = "{name: a, path: a.zarr}" if text.startswith("rechunk") else "{name: a, path: a/}"
    second = ", {name: b, path: b/}" if text.startswith("join") else ""
    output = "{path: out/, format: Zarr}" if text.startswith("rechunk") else "{path: out/}"
    spec = f"{{operation: {{{text}}}, inputs: [{source}{second}], output: {output}}}"
    head = "apiVersion: shuffle-operator.dev/v1alpha1\nkind: ShuffleJob\nmetadata: {name: shown}\n"
    assert unsupported(load_job(f"{head}spec: {spec}\n"), local=False) == []

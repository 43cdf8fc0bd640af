"""Makes the `benchmarks` package importable, which is not installed, and gives a tiny dataset."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import dataset as data
from benchmarks import verify

ROWS = 4000


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    folder = tmp_path_factory.mktemp("benchmark")
    return data.ensure(folder, ROWS, 1)


@pytest.fixture(scope="session")
def verifier(dataset: data.Dataset, tmp_path_factory: pytest.TempPathFactory) -> verify.Verifier:
    scratch = tmp_path_factory.mktemp("verify")
    return verify.Verifier(
        dataset, verify.reference_of(dataset.folder, scratch / "reference.json", scratch, 1), scratch, 1
    )

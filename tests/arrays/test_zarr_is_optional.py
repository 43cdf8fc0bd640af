"""Jobs on tables never load Zarr, and without it a rechunk says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.worker.works import need_zarr


def test_a_worker_does_not_load_zarr_before_it_has_to() -> None:
    program = "import shuffle_worker.__main__, shuffle_worker.worker.process, sys; print('zarr' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_without_zarr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InvalidSpec, match=r"install shuffle-operator\[zarr\]"):
        need_zarr()


def test_with_a_zarr_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr

    monkeypatch.setattr(zarr, "__version__", "2.18.7")
    with pytest.raises(InvalidSpec, match=r"3\.1 or later, and 2\.18\.7 is installed"):
        need_zarr()

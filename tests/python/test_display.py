"""Progress: a bar in a terminal, HTML in a notebook, nothing elsewhere, or calls of a function."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from shuffle_local.python.display import in_notebook, showing
from shuffle_operator.coordinator.actions import Note
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.messages import Phase


def snapshot(**values: Any) -> Snapshot:
    kinds: dict[Any, object] = {str: "", int: 0, float: 0.0, bool: False, Phase: Phase.TRANSFERRING}
    fields = {field.name: kinds[field.type] for field in msgspec.structs.fields(Snapshot) if field.required}
    return Snapshot(**{**fields, "name": "job", "message": "Transferring: 17 of 40 splits", "progress": 42.4, **values})


LOST = Note("WorkerLost", "worker 1", warning=True)


def test_a_terminal_has_the_bar_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with showing(None, ["too many workers"]) as shown:
            shown.show(snapshot())
            shown.note(LOST)
        terminal.flush()
        said = ""
        while "WorkerLost: worker 1" not in said:  # it comes in pieces
            said += os.read(master, 1 << 16).decode()
    os.close(master)
    assert "Warning: too many workers" in said
    assert "Transferring" in said
    assert "42 %" in said
    assert "17 of 40 splits" in said
    assert "WorkerLost: worker 1" in said


def test_of_two_jobs_one_has_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with showing(True) as first, showing(True) as second:
        second.show(snapshot(message="second"))
        first.show(snapshot(message="first"))
    with showing(True) as third:
        third.show(snapshot(message="third"))
    assert capfd.readouterr().err.split() == ["42", "%", "first", "42", "%", "third"]


def test_elsewhere_it_is_silent_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    for progress in (None, False):
        with showing(progress, ["a warning"]) as shown:
            shown.show(snapshot())
        assert capfd.readouterr() == ("", "")
    with showing(True, ["a warning"]) as shown:
        shown.show(snapshot())
    assert capfd.readouterr().err == "Warning: a warning\n 42 %  Transferring: 17 of 40 splits\n"


def test_a_function_is_given_every_snapshot() -> None:
    seen: list[Snapshot] = []
    with showing(seen.append) as shown:
        shown.show(snapshot(progress=1.0))
        shown.show(snapshot(progress=2.0))
    assert [one.progress for one in seen] == [1.0, 2.0]


def test_a_notebook_has_one_output_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in for IPython's three calls; `test_a_real_kernel` has the real one where it is installed."""
    shown_texts: list[tuple[str, str]] = []

    class Handle:
        def update(self, text: str) -> None:
            shown_texts.append(("update", text))

    def display(text: str, display_id: bool) -> Handle:
        assert display_id
        shown_texts.append(("display", text))
        return Handle()

    shell: Any = type("Shell", (), {"kernel": object()})()
    ipython, ipython_display = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython)["get_ipython"] = lambda: shell
    vars(ipython_display).update(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython_display)
    assert in_notebook()
    with showing(None, ["<b>"]) as shown:
        for percent in (1.0, 1.0, 50.0):
            shown.show(snapshot(progress=percent))
            shown.note(LOST)
            shown.note(Note("Quiet", "nothing to worry about"))
        shown.show(snapshot(progress=50.0))
    assert "Quiet" not in shown_texts[-1][1]
    assert [kind for kind, _ in shown_texts] == ["display", "update", "update", "update"]
    assert "value='50' max='100'" in shown_texts[-1][1]
    assert "Warning: &lt;b&gt;" in shown_texts[-1][1]
    assert "WorkerLost: worker 1" in shown_texts[-1][1]
    monkeypatch.setattr(shell, "kernel", None)
    assert not in_notebook()  # IPython in a terminal


CELLS = [
    "import pyarrow as pa, pyarrow.parquet as pq, asyncio\n"
    "from shuffle_operator import read_parquet\n"
    "pq.write_table(pa.table({'a': [1, 2, 1], '<script>x</script>': [1, 2, 3]}), 'in.parquet')\n"
    "asyncio.get_running_loop()\n"
    "read_parquet('in.parquet').repartition('a').write_parquet('one').run(workers=1, memory='300Mi')",
    "await read_parquet('in.parquet').distinct('a').write_parquet('two').run_async(workers=1, memory='300Mi')",
    "read_parquet('in.parquet').group_by('a').apply(lambda t: t)",
    "def of_a_cell(t):\n    return t\n\nread_parquet('in.parquet').group_by('a').apply(of_a_cell)",
]


def test_a_real_kernel(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3", allow_errors=True).execute(cwd=str(tmp_path))
    for cell in notebook.cells[:2]:
        bar, result = cell.outputs
        assert bar.output_type == "display_data"
        assert "<b>Complete</b>" in bar.data["text/html"]
        assert "&lt;script&gt;" in result.data["text/html"]
        assert "<script>" not in result.data["text/html"]
    for cell, said in zip(
        notebook.cells[2:], ("found a lambda", "which this notebook or prompt has made"), strict=True
    ):
        [error] = cell.outputs
        assert error.ename == "InvalidJob"
        assert said in error.evalue

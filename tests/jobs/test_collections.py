"""The tool that tries a collection of odd files: it must see what differs, or it proves nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

TOOL = Path(__file__).parents[2] / "tools" / "try_collection.py"
TABLE = pa.table({"id": [1, 2, None], "text": ["a", "", None], "list": [[1.5, None], [], None]})


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("try_collection", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["try_collection"] = module  # where the comparing process looks for it
    spec.loader.exec_module(module)
    return module


def test_a_collection(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOL.parent))
    (tmp_path / "ipc-fuzzing").mkdir()
    pq.write_table(TABLE, tmp_path / "a.parquet")
    pyarrow.orc.write_table(TABLE, tmp_path / "b.orc")
    with pa.ipc.new_stream(tmp_path / "ipc-fuzzing" / "crash-1", TABLE.schema) as writer:
        writer.write_table(TABLE)
    (tmp_path / "bad.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-100])
    (tmp_path / "readme.md").write_text("no data")
    files = list(tool.found(tmp_path))
    assert [(path.name, kind) for path, kind in files] == [
        ("a.parquet", "Parquet"),
        ("b.orc", "ORC"),
        ("bad.parquet", "Parquet"),
        ("crash-1", "Feather"),
    ]
    verdicts = [tool.tried(path, kind) for path, kind in files]
    assert [one.kind for one in verdicts] == ["equal", "equal", "refused", "equal"], verdicts
    assert tool.report(verdicts) == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (TABLE.slice(1), "3 rows came out as 2"),
        (TABLE.rename_columns(["id", "other", "list"]), "columns"),
        (TABLE.set_column(0, "id", pa.array([1, 3, None])), "column 'id', row 1"),
        (TABLE.set_column(1, "text", pa.array(["a", None, None])), "column 'text', row 1"),
        (TABLE.set_column(2, "list", pa.array([[1.5], [], None])), "column 'list', row 0"),
    ],
)
def test_what_differs_is_seen(tool: ModuleType, changed: pa.Table, said: str) -> None:
    kind, sentence = tool.difference(TABLE, changed)
    assert kind == "differs"
    assert said in sentence
    assert tool.report([tool.Verdict("f", kind, sentence)]) == 1


def test_what_is_the_same_in_another_type_is_equal(tool: ModuleType) -> None:
    nan, late = float("nan"), 253_402_300_799
    one = pa.table({"n": pa.array([1, nan]), "at": pa.array([late, None], pa.timestamp("s"))})
    two = pa.table({"n": pa.array([1, nan], pa.float32()), "at": pa.array([late * 1000, None], pa.timestamp("ms"))})
    assert tool.difference(one, two)[0] == "equal"


def test_nothing_found_is_no_success(tool: ModuleType) -> None:
    assert tool.report([]) == 1

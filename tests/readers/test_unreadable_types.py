"""Files that are whole, with types that Arrow does not read: refused by column, and read without it."""

from __future__ import annotations

import base64
import ctypes
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from tests.formats.every_type import COLUMNS
from tests.formats.one_process import carry_out, job_of, refused

from shuffle_protocol.errors import DataError, InvalidSpec

ORC = {
    "int": (  # int
        "T1JDChIKAgAAEgwIAxIGCAIQBhgMUABGAiRgCgYIBhAAGBQKBggBEAAYBBIECAIQABoDVVRDCg4KDAgDEgYIAhAGGAxQAAgD"
        "EDMaCggDEBQYBCAbKAMiCAgDIAAoADAAMAM6DAgDEgYIAhAGGAxQAECQTkgBYgUyLjMuMQg2EAAYgIAEIgIADCgQMAaC9AMD"
        "T1JDFw=="
    ),
    "union": (  # struct<k:int,u:uniontype<int,string>>
        "T1JDCgYSBAgCUAAKEgoCAAASDAgCEgYIAhAEGAZQAAoKCgIAABIECAJQAAoSCgIAABIMCAESBggKEAoYClAAChUKAwAAABIO"
        "CAEiCAoBeBIBeBgCUABGAST+AAFGAKBAAIB4CgYIBhAAGAgKBggGEAEYFAoGCAYQAhgMCgYIBhADGBQKBggGEAQYFwoGCAEQ"
        "ARgDCgYIARACGAMKBggBEAMYAwoGCAIQBBgDCgYIARAEGAESBAgAEAASBAgCEAASBAgAEAASBAgCEAASBAgCEAAaA1VUQwo4"
        "CgQIAlAACgwIAhIGCAIQBBgGUAAKBAgCUAAKDAgBEgYIChAKGApQAAoOCAEiCAoBeBIBeBgCUAAIAxDTARoKCAMQUxgNIHMo"
        "AiISCAwSAgECGgFrGgF1IAAoADAAIggIAyAAKAAwACIMCA0SAgMEIAAoADAAIggIAyAAKAAwACIICAcgACgAMAAwAjoECAJQ"
        "ADoMCAISBggCEAQYBlAAOgQIAlAAOgwIARIGCAoQChgKUAA6DggBIggKAXgSAXgYAlAAQJBOSAFiBTIuMy4xCJcBEAAYgIAE"
        "IgIADCg6MAaC9AMDT1JDGA=="
    ),
    "far": (  # struct<k:int,t:timestamp,i:timestamp with local time zone>, the first of them 9999-12-31
        "T1JDCgYSBAgCUAAKEgoCAAASDAgCEgYIAhAEGAZQAAofCgQAAAAAEhcIAkoRGICgt+brWyCAgMzP+Z1zMAFQAAofCgQAAAAA"
        "EhcIAkoRGICgt+brWyCAgMzP+Z1zMAFQAEYBJHgBdVacxAAAEs6mAEABAHgBdVacxAAAEs6mAEABAAoGCAYQABgICgYIBhAB"
        "GBQKBggGEAIYIQoGCAYQAxghCgYIARABGAMKBggBEAIYDAoGCAUQAhgDCgYIARADGAwKBggFEAMYAxIECAAQABIECAIQABIE"
        "CAIQABIECAIQABoDVVRDCkYKBAgCUAAKDAgCEgYIAhAEGAZQAAoXCAJKERiAoLfm61sggIDMz/mdczABUAAKFwgCShEYgKC3"
        "5utbIICAzM/5nXMwAVAACAMQ5AEaCggDEF4YISBlKAIiFggMEgMBAgMaAWsaAXQaAWkgACgAMAAiCAgDIAAoADAAIggICSAA"
        "KAAwACIICBIgACgAMAAwAjoECAJQADoMCAISBggCEAQYBlAAOhcIAkoRGICgt+brWyCAgMzP+Z1zMAFQADoXCAJKERiAoLfm"
        "61sggIDMz/mdczABUABAkE5IAWIFMi4zLjEImwEQABiAgAQiAgAMKEgwBoL0AwNPUkMY"
    ),
}
"""Small files of the ORC project's own library, uncompressed."""


def ran(folder: Path, source: Path, columns: list[str] | None = None) -> pa.Table:
    given = {"path": str(source), **({"columns": columns} if columns else {})}
    out = folder / "out"
    carry_out(job_of(given, {"path": str(out), "partitions": 1}), folder / "scratch")
    return pq.read_table(out / "part-00000.parquet")


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("int", DataError, ["int.orc", "top-level struct"]),
        ("union", InvalidSpec, ["'u'", "union", "leave it out with `columns`"]),
        ("far", DataError, ["far.orc", "'t'", "out of range for nanosecond", "leave it out with `columns`"]),
    ],
)
def test_orc(tmp_path: Path, name: str, kind: type[Any], said: list[str]) -> None:
    path = tmp_path / f"{name}.orc"
    path.write_bytes(base64.b64decode(ORC[name]))
    with refused(kind, *said) as _:
        ran(tmp_path, path)
    if name != "int":
        assert ran(tmp_path, path, ["k"])["k"].to_pylist() == [1, 2]


def test_times_of_our_own_that_orc_holds(tmp_path: Path) -> None:
    """They are written as they are, for others read them; Arrow does not, and says so by column."""
    table = pa.table({"k": range(4), "t": COLUMNS["timestamp us, far"]})
    pq.write_table(table, tmp_path / "in.parquet")
    out = tmp_path / "orc"
    output = {"path": str(out), "partitions": 1, "format": "ORC"}
    carry_out(job_of(tmp_path / "in.parquet", output), tmp_path / "scratch")
    with refused(DataError, "part-00000.orc", "'t'", "out of range for nanosecond"):
        ran(tmp_path, out)
    assert ran(tmp_path, out, ["k"])["k"].to_pylist() == [0, 1, 2, 3]


class _CSchema(ctypes.Structure):
    """Of the Arrow C data interface."""


_Release = ctypes.CFUNCTYPE(None, ctypes.POINTER(_CSchema))
_CSchema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", _Release),
    ("private", ctypes.c_void_p),
]


@_Release
def _released(schema: Any) -> None:
    schema.contents.release = ctypes.cast(None, _Release)


@pytest.mark.parametrize(("letters", "name"), [(b"tiM", "month_interval"), (b"tiD", "day_time_interval")])
def test_intervals_that_pyarrow_has_no_name_for(tmp_path: Path, letters: bytes, name: str) -> None:
    made = _CSchema(letters, b"", None, 2, 0, None, None, _released, None)
    kind: Any = pa.DataType._import_from_c(ctypes.addressof(made))  # type: ignore[attr-defined]
    for at, field in enumerate((kind, pa.list_(kind), pa.struct([("x", kind)]))):
        path = tmp_path / f"{at}.arrow"
        with pa.ipc.new_file(str(path), pa.schema([("k", pa.int64()), ("c", field)])):
            pass
        with refused(InvalidSpec, "'c'", name):
            ran(tmp_path, path)
        assert not (tmp_path / "out").exists()
    assert ran(tmp_path, path, ["k"]).num_rows == 0


def test_a_column_of_feather_that_arrow_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "in.arrow"
    table = pa.table({"k": range(4), "c": COLUMNS["dictionary of dictionaries"]})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    with refused(DataError, "in.arrow", "'c'"):
        ran(tmp_path, path)

"""Functions that take and return what other libraries than pandas have: the same rows, whatever carried them. Of the
libraries that need a GPU there are stand-ins here, with the calls that are made of them; tools/try_gpu.py has the real
ones."""

from __future__ import annotations

import ctypes
import datetime
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.functions.test_results import Sent
from tests.functions.users import calling, module, wanted_anyway

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.functions import gpu
from shuffle_worker.functions.array_results import of_arrays
from shuffle_worker.functions.differs import Differs
from shuffle_worker.functions.forms import NotGiven, form_of
from shuffle_worker.functions.given import groups_of
from shuffle_worker.functions.host import Host, Trouble
from shuffle_worker.functions.results import ResultSender
from shuffle_worker.functions.shapes import Shape

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
ROWS = pa.record_batch(
    {
        "k": pa.array([0, 0, 1, 1, 1, 2], pa.int64()),
        "n": pa.array([1, None, 3, 4, 5, 6], pa.int32()),
        "v": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5],
        "s": ["a", "b", None, "d", "e", "f"],
        "b": [True, False, True, True, None, False],
        "t": pa.array([NOON] * 6, pa.timestamp("us", "UTC")),
        "e": pa.array([[1.0, 2.0]] * 6, pa.list_(pa.float64(), 2)),
    }
)
ENDS = [2, 5, 6]
SCHEMA = ROWS.schema

LIBRARIES = {
    "cudf": """
class DataFrame:
    def __init__(self, table):
        self.table = table
    @classmethod
    def from_arrow(cls, table):
        return cls(table)
    @property
    def iloc(self):
        return self
    def __getitem__(self, place):
        return DataFrame(self.table.slice(place.start, place.stop - place.start))
    def reset_index(self, drop):
        assert drop
        return self
    def to_arrow(self, preserve_index):
        assert not preserve_index
        return self.table
""",
    "cupy": """
import numpy
class ndarray:
    def __init__(self, values):
        self.values, self.ndim = values, values.ndim
    def __getitem__(self, place):
        return ndarray(self.values[place])
    def __len__(self):
        return len(self.values)
    def get(self):
        return self.values
def asarray(values):
    assert values.dtype.kind in "biuf"
    return ndarray(values)
""",
    "torch": """
class Tensor:
    def __init__(self, values, device="cpu"):
        self.values, self.ndim, self.device = values, values.ndim, device
    def __getitem__(self, place):
        return Tensor(self.values[place], self.device)
    def __len__(self):
        return len(self.values)
    def to(self, device):
        return Tensor(self.values, device)
    def detach(self):
        return self
    def cpu(self):
        return Tensor(self.values)
    def numpy(self):
        assert self.device == "cpu"
        return self.values
def from_numpy(values):
    return Tensor(values)
""",
}
HERE_IS_ONE = "import shuffle_worker.functions.gpu as gpu\ngpu.why_none = lambda: ''\n"
FUNCTIONS = """
def frame(rows: pl.DataFrame):
    import polars
    assert type(rows) is polars.DataFrame
    return rows

def lazy(rows: pl.LazyFrame):
    return rows.filter(True)

def arrays(rows: dict[str, np.ndarray]):
    rows["v"][0] = rows["v"][0]  # may be written to
    return rows

def cudf_frame(rows: cudf.DataFrame):
    assert type(rows).__module__ == "cudf"
    return rows

def bare(rows):
    assert type(rows).__module__ == "cudf"
    return rows

def tensors(rows: dict[str, torch.Tensor]):
    assert {one.device for one in rows.values()} == {"cuda"}
    return rows

def cpu_tensors(rows: dict[str, torch.Tensor]):
    assert {one.device for one in rows.values()} == {"cpu"}
    return rows

def cupy_arrays(rows: dict[str, cupy.ndarray]):
    assert all(type(one).__module__ == "cupy" for one in rows.values())
    return rows
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    for name, text in LIBRARIES.items():
        (tmp_path / f"{name}.py").write_text(text)
    module(tmp_path, "mine", HERE_IS_ONE + FUNCTIONS)
    module(tmp_path, "nowhere", FUNCTIONS)
    return tmp_path


def called(host: Host, rows: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches(list(host.call(iter([rows]), ENDS, wanted_anyway)), schema=host.setup.wanted)


@pytest.mark.parametrize("function", ["frame", "lazy", "arrays", "cudf_frame", "bare"])
def test_rows_go_there_and_back(mine: Path, function: str) -> None:
    with calling(mine, f"mine:{function}", SCHEMA, SCHEMA, gpu=function == "bare") as host:
        assert called(host, ROWS).to_pylist() == ROWS.to_pylist()


@pytest.mark.parametrize(("function", "on_gpu"), [("tensors", True), ("cpu_tensors", False), ("cupy_arrays", False)])
def test_numbers_go_there_and_back_in_tensors(mine: Path, function: str, on_gpu: bool) -> None:
    numbers = ROWS.select(["k", "n", "v", "e"])
    with calling(mine, f"mine:{function}", numbers.schema, numbers.schema, gpu=on_gpu) as host:
        assert called(host, numbers).to_pylist() == numbers.to_pylist()


def test_what_no_tensor_holds_is_named(mine: Path) -> None:
    with calling(mine, "mine:cpu_tensors", SCHEMA, SCHEMA) as host, pytest.raises(Trouble) as error:
        called(host, ROWS)
    assert error.value.kind == "given"
    assert "the column 's' is string, which no torch.Tensor holds" in error.value.message
    assert "leave it out with inputs[].columns" in error.value.message


@pytest.mark.parametrize(
    ("function", "on_gpu", "said"),
    [
        (
            "nowhere:cudf_frame",
            False,
            ": is given cudf.DataFrame, and here is no GPU: there is no CUDA driver (",
        ),
        ("nowhere:bare", True, "nowhere:bare: is given cudf.DataFrame, and here is no GPU"),
        ("nowhere:arrays", True, "nowhere:arrays: backend is Gpu, and here is no GPU"),
        ("nowhere:cupy_arrays", False, "backend: Gpu asks for one (nvidia.com/gpu) for each worker"),
    ],
)
def test_without_a_gpu_it_is_refused(mine: Path, function: str, on_gpu: bool, said: str) -> None:
    if not gpu.why_none():
        pytest.skip("here is a GPU")
    with calling(mine, function, SCHEMA, SCHEMA, gpu=on_gpu) as host, pytest.raises(Trouble) as error:
        host.start()
    assert error.value.kind == "load"
    assert said in error.value.message


def test_a_library_that_is_not_installed_is_named(mine: Path) -> None:
    for name in LIBRARIES:
        (mine / f"{name}.py").unlink()
    for function, library in (("bare", "cudf"), ("tensors", "torch"), ("cupy_arrays", "cupy")):
        with calling(mine, f"mine:{function}", SCHEMA, SCHEMA, gpu=True) as host, pytest.raises(Trouble) as error:
            host.start()
        assert f"and {library} is not installed; install it here, or in the image that the job" in error.value.message


class Driver:
    """A CUDA driver with so many GPUs, or one that answers with an error."""

    def __init__(self, count: int, code: int = 0) -> None:
        self._count = count
        self._code = code

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the driver's name
        return self._code

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._count
        return 0


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        (Driver(1), ""),
        (Driver(0), "the CUDA driver finds none"),
        (Driver(1, 100), "the CUDA driver finds none (error 100)"),
        (None, "there is no CUDA driver (libcuda.so.1)"),
    ],
)
def test_the_driver_is_asked(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, why: str) -> None:
    def loaded(name: str) -> Driver:
        assert name == "libcuda.so.1"
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(ctypes, "CDLL", loaded)
    assert gpu.why_none() == why
    if why:
        with pytest.raises(InvalidSpec, match=r"^it needs one, and here is no GPU: "):
            gpu.need_gpu("it needs one")
    else:
        gpu.need_gpu("it needs one")


@pytest.mark.parametrize("shape", [Shape.ARRAYS, Shape.POLARS])
def test_groups_are_given_what_each_alone_would_become(shape: Shape) -> None:
    form = form_of(shape, gpu=False)
    begins = [0, 2, 5]
    together = list(groups_of(shape, form, SCHEMA, [ROWS], begins, ENDS))
    for part, begin, end in zip(together, begins, ENDS, strict=True):
        (alone,) = groups_of(shape, form, SCHEMA, [ROWS.slice(begin, end - begin)], [0], [end - begin])
        if shape is Shape.POLARS:
            assert part.equals(alone)
            continue
        for name, array in alone.items():
            assert part[name].dtype == array.dtype
            np.testing.assert_array_equal(part[name], array)
            assert part[name].flags.writeable
    if shape is Shape.ARRAYS:
        assert [one["n"].dtype.kind for one in together] == ["f", "i", "i"]  # a null makes floats of its group alone


def test_what_polars_cannot_hold_is_said() -> None:
    form = form_of(Shape.POLARS, gpu=False)
    assert form is not None
    odd = pa.table({"x": pa.array([None], pa.month_day_nano_interval())})
    with pytest.raises(NotGiven, match=r"Polars cannot hold its rows: .*; annotate it as pa\.Table"):
        form.whole(odd)


def test_small_results_of_every_library_travel_together_in_order() -> None:
    import pandas as pd
    import polars as pl

    wanted = pa.schema({"x": pa.int64(), "y": pa.string()})
    results: list[Any] = []
    for at in range(0, 3000, 3):
        results.append(pd.DataFrame({"x": [at], "y": [str(at)]}))
        results.append(pl.DataFrame({"x": [at + 1], "y": [str(at + 1)]}))
        results.append({"x": np.array([at + 2]), "y": np.array([str(at + 2)])})
    by_kind = results[::3] + results[1::3] + results[2::3]
    for given in (results, by_kind):
        sent = Sent()
        held = ResultSender(sent, wanted)
        for group, result in enumerate(given):
            held.add(result, group)
        held.flush()
        expected = range(3000) if given is results else [*range(0, 3000, 3), *range(1, 3000, 3), *range(2, 3000, 3)]
        assert sent.table(wanted).to_pylist() == [{"x": x, "y": str(x)} for x in expected]


BAD_ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"x": np.array([1]), "y": np.array([1, 2])}, "its arrays differ in length: 'x' has 1, 'y' has 2"),
    ({"x": np.array(1)}, "'x' is a single value; return an array for it: np.array([value])"),
    ({"x": np.zeros((2, 2, 2))}, "'x', expected int64: it has 3 dimensions"),
    ({"x": np.array([1, "a"], dtype=object)}, "'x', expected int64: 'a' (str) is no int64"),
]


@pytest.mark.parametrize(("result", "said"), BAD_ARRAYS)
def test_arrays_that_are_no_table(result: dict[str, Any], said: str) -> None:
    with pytest.raises(Differs) as error:
        of_arrays(result, pa.schema({"x": pa.int64()}))
    assert str(error.value).startswith(said)


def test_what_a_mask_covers_is_null_in_one_dimension_and_in_two() -> None:
    one, two = (
        np.ma.array([1, 2], mask=[False, True]),
        np.ma.array([[1, 2], [3, 4]], mask=[[False, True], [True, False]]),
    )
    assert of_arrays({"x": one, "y": two}, None).to_pydict() == {"x": [1, None], "y": [[1, None], [None, 4]]}
    assert of_arrays({"y": two.T}, None).to_pydict() == {"y": [[1, None], [None, 4]]}


def test_two_dimensions_are_lists_and_times_are_in_utc() -> None:
    wanted = pa.schema({"e": pa.list_(pa.float64(), 2), "t": pa.timestamp("us", "Europe/Oslo")})
    times = np.array(["2026-01-01T12:00:00"], "datetime64[us]")
    found = of_arrays({"e": np.array([[1.0, 2.0]]), "t": times}, wanted)
    assert found.schema.types == [pa.list_(pa.float64(), 2), pa.timestamp("us", "Europe/Oslo")]
    assert found["t"].cast(pa.timestamp("us", "UTC")).to_pylist() == [NOON]
    assert sys.modules.get("cudf") is None

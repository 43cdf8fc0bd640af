"""A function over blocks with halos: what it is given is Dask's, what it returns is written, the same for any memory,
number of workers and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import msgspec
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.arrays.in_process import MIB, HeldShards, make, read_all, rechunk_job
from tests.functions.users import module

from shuffle_protocol.errors import InvalidSpec, JobError, OutOfMemory, UserFunctionFailed
from shuffle_protocol.jobs import CodeSource, Functions, Job, Overlap, Rechunk
from shuffle_protocol.memory import Budgets
from shuffle_protocol.messages import PlanNode
from shuffle_protocol.units import readable
from shuffle_worker.arrays import grid, layout
from shuffle_worker.arrays.explain import explain
from shuffle_worker.arrays.frame import HaloFrame
from shuffle_worker.arrays.grid import Axis
from shuffle_worker.arrays.planner import make_plan
from shuffle_worker.arrays.slabs import Slab
from shuffle_worker.arrays.work import ArrayTasks
from shuffle_worker.storage import LocalStorage
from shuffle_worker.transfer.work import WorkSetup

FUNCTIONS = """
import numpy as np

def window(block, depths):
    '''The sum over a window, in which nearer elements weigh more; at the block's ends the last element again.'''
    out = block.astype("f8")
    for axis, (before, after) in enumerate(depths):
        wide = np.pad(out, [(before, after) if at == axis else (0, 0) for at in range(out.ndim)], mode="edge")
        size = out.shape[axis]
        parts = [np.take(wide, range(k, k + size), axis) / (1 + abs(k - before)) for k in range(before + after + 1)]
        out = sum(parts)
    return out

def one(block): return window(block, [(1, 1)] * block.ndim)
def three(block): return window(block, [(3, 3)] * block.ndim)
def first_only(block): return window(block, [(5, 5)] + [(0, 0)] * (block.ndim - 1))
def lagged(block): return window(block, [(2, 0)] + [(0, 1)] * (block.ndim - 1))
def square(block): return (block * block).astype(block.dtype)
def where(block, block_info=None):
    block[...] = block_info[0]["chunk-location"][0] * 100 + block_info[None]["array-location"][1][0]
    return block
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    module(folder, "blocks", FUNCTIONS)
    return folder


def with_function(job: Job, folder: Path, memory: int = 200 * MIB) -> Job:
    functions = Functions([CodeSource(str(folder), name="the test's folder", last=True)], memory)
    return msgspec.structs.replace(job, memory=job.memory + memory, functions=functions)


def tasks_of(job: Job, scratch: Path) -> ArrayTasks:
    return ArrayTasks(WorkSetup(Budgets.for_limit(job.memory, functions=job.functions.memory), scratch))


def done(job: Job, scratch: Path) -> tuple[ArrayTasks, Any]:
    tasks = tasks_of(job, scratch)
    summary = tasks.plan(job)
    tasks.load(job, summary.fingerprint)
    held = HeldShards()
    elements = read_all(tasks, held, len(summary.split_bytes))
    for group in range(len(summary.group_partitions)):
        tasks.write(group, held).finished()
    return tasks, tasks.commit(elements)


# -- geometry --------------------------------------------------------------------------------------------------------

PADS: dict[str, dict[str, Any]] = {
    "Reflect": {"mode": "symmetric"},
    "Periodic": {"mode": "wrap"},
    "Nearest": {"mode": "edge"},
    "7": {"mode": "constant", "constant_values": 7},
    "-3": {"mode": "constant", "constant_values": -3},
}


@st.composite
def halos(draw: st.DrawFn) -> list[Axis]:
    """Axes with halos, cut into pieces and boxes."""
    axes: list[Axis] = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 14))
        start, step = draw(st.integers(0, min(2, size - 1))), draw(st.integers(1, 2))
        length = len(range(start, size, step))
        boundary = draw(st.sampled_from(["None", *PADS]))
        before = draw(st.integers(0, min(5, length)))
        after = draw(st.integers(0, min(5, length))) if boundary == "None" else before
        chunk, item = draw(st.integers(1, size)), draw(st.integers(1, length))
        axes.append(Axis(size, start, step, length, chunk, item, before=before, after=after, boundary=boundary))
    sizes = layout.LayoutSizes(draw(st.integers(1, 400)), draw(st.integers(1, 400)), 100, 100)
    return layout.cut_axes(axes, 4, sizes)


def padded(data: Any, axes: Sequence[Axis]) -> Any:
    """The array with what lies beyond its ends, dimension by dimension as Dask adds it."""
    for at, axis in enumerate(axes):
        if axis.boundary != "None":
            depth = [(axis.before, axis.after) if each == at else (0, 0) for each in range(data.ndim)]
            data = np.pad(data, depth, **PADS[axis.boundary])
    return data


@settings(deadline=None, max_examples=150)
@given(halos())
def test_blocks_are_cut_out_of_the_padded_array(axes: list[Axis]) -> None:
    shape = tuple(axis.length for axis in axes)
    data = np.arange(np.prod(shape), dtype="i4").reshape(shape)
    beyond = padded(data, axes)
    pads = [axis.before if axis.boundary != "None" else 0 for axis in axes]
    written = np.zeros(shape, int)
    sent = 0
    for part in range(grid.parts(axes)):
        pieces = [grid.piece_box(axes, part, number) for number in range(grid.pieces(axes))]
        pieces = [piece for piece in pieces if all(a < b for a, b in piece)]
        for number in range(grid.boxes(axes)):
            box = grid.bucket_box(axes, part, number)
            if not all(a < b for a, b in box):
                continue
            room = np.zeros(grid.elements(grid.frame_box(axes, box)) * 4, np.uint8)
            frame = HaloFrame(axes, box, data.dtype, room, 0)
            owned = 0
            for piece in pieces:
                for target in grid.targets(axes, part, piece):
                    if target.box == number:
                        there = grid.moved(target.source, target.shift)
                        owned += grid.shared(there, box)
                        sent += grid.elements(there)
                        frame.place(Slab(there, data[grid.inside(target.source, tuple((0, n) for n in shape))]))
            frame.check()
            assert owned == grid.elements(box)
            for item in grid.items_of(axes, box):
                place = grid.item_box(axes, item)
                whole = tuple(axis.block(span) for axis, span in zip(axes, place, strict=True))
                cut = tuple(slice(a + pad, b + pad) for (a, b), pad in zip(whole, pads, strict=True))
                np.testing.assert_array_equal(frame.block(place), beyond[cut])
                written[grid.inside(place, tuple((0, n) for n in shape))] += 1
    assert (written == 1).all()
    assert sent == grid.frame_elements(axes)


# -- beside Dask -----------------------------------------------------------------------------------------------------

SYMMETRIC = ["Reflect", "Periodic", "Nearest", "None", "0", "-2.5"]
CASES: list[tuple[str, str, dict[str, Any], tuple[int, ...], tuple[int, ...]]] = [
    *(("one", edge, {"0": 1, "1": 1}, (23, 17), (8, 5)) for edge in SYMMETRIC),
    ("three", "Reflect", {"0": 3, "1": 3}, (23, 17), (2, 5)),  # chunks smaller than the depth
    ("three", "Periodic", {"0": 3, "1": 3}, (7, 9), (7, 1)),
    ("first_only", "Nearest", {"0": 5}, (23, 4, 6), (4, 4, 3)),
    ("first_only", "None", {"0": 5}, (5, 40), (1, 9)),  # as deep as the array is long
    ("lagged", "None", {"0": (2, 0), "1": (0, 1)}, (12, 15), (5, 5)),
]


def dasks(data: Any, function: Any, depth: Mapping[str, Any], boundary: Any, chunks: Sequence[int]) -> Any:
    plain = {"None": "none", "Reflect": "reflect", "Periodic": "periodic", "Nearest": "nearest"}
    edges = {int(name): plain.get(edge) or float(edge) for name, edge in boundary.items()}
    deep = {int(name): value for name, value in depth.items()}
    return da.map_overlap(function, da.from_array(data, chunks=tuple(chunks)), depth=deep, boundary=edges).compute()


def overlap_of(depth: Mapping[str, Any], boundary: str, boundaries: Mapping[str, str] | None = None) -> Overlap:
    sides = {name: value if isinstance(value, tuple) else (value, value) for name, value in depth.items()}
    return Overlap(sides, boundary, dict(boundaries or {}))


@pytest.mark.parametrize(("name", "edge", "depth", "shape", "chunks"), CASES)
def test_a_function_gives_what_it_gives_with_dask(
    tmp_path: Path, mine: Path, name: str, edge: str, depth: dict[str, Any], shape: tuple[int, ...], chunks: Any
) -> None:
    data = np.random.default_rng(3).random(shape)
    make(tmp_path / "in", data, [max(n // 3, 1) for n in shape])
    asked = Rechunk(
        {str(at): each for at, each in enumerate(chunks)}, function=f"blocks:{name}", overlap=overlap_of(depth, edge)
    )
    done(with_function(rechunk_job(tmp_path / "in", tmp_path / "out", asked), mine), tmp_path)
    found = zarr.open_array(tmp_path / "out", mode="r")
    assert found.chunks == chunks
    space: dict[str, Any] = {}
    exec(FUNCTIONS, space)
    wanted = dasks(data, space[name], depth, dict.fromkeys(depth, edge), chunks)
    np.testing.assert_array_equal(found[...], wanted)


def run(
    tmp_path: Path, mine: Path, asked: Rechunk, data: Any = None, chunks: Any = (4, 5), out: str = "out", **more: Any
) -> zarr.Array:
    """A job on an array of 12 x 15 elements."""
    data = np.arange(180, dtype="i4").reshape(12, 15) if data is None else data
    if not (tmp_path / "in").exists():
        make(tmp_path / "in", data, chunks, **more.pop("options", {}))
    done(with_function(rechunk_job(tmp_path / "in", tmp_path / out, asked, **more), mine), tmp_path)
    return zarr.open_array(tmp_path / out, mode="r")


def test_a_boundary_for_each_dimension_and_the_later_ones_corner(tmp_path: Path, mine: Path) -> None:
    data = np.random.default_rng(3).random((12, 15))
    edges = {"0": "4", "1": "Periodic"}
    asked = Rechunk({"0": 5}, function="blocks:one", overlap=overlap_of({"0": 1, "1": 1}, "9", edges))
    space: dict[str, Any] = {}
    exec(FUNCTIONS, space)
    wanted = dasks(data, space["one"], {"0": 1, "1": 1}, edges, (5, 5))
    np.testing.assert_array_equal(run(tmp_path, mine, asked, data)[...], wanted)


def test_without_a_halo_it_is_map_blocks(tmp_path: Path, mine: Path) -> None:
    found = run(tmp_path, mine, Rechunk({}, function="blocks:square"))
    assert (found.dtype, found.chunks) == (np.dtype("i4"), (4, 5))
    np.testing.assert_array_equal(found[...], np.arange(180, dtype="i4").reshape(12, 15) ** 2)


def test_it_is_called_for_the_chunks_inside_of_shards_and_told_where_they_lie(tmp_path: Path, mine: Path) -> None:
    asked = Rechunk({"0": 3, "1": 5}, shards={"0": 6, "1": -1}, function="blocks:where", dtype="int32")
    found = run(tmp_path, mine, asked)
    assert (found.chunks, found.shards) == (((3, 5)), (6, 15))
    rows, columns = np.indices((12, 15))
    np.testing.assert_array_equal(found[...], rows // 3 * 100 + columns // 5 * 5)


def test_elements_that_are_not_stored_are_given_as_the_fill_value(tmp_path: Path, mine: Path) -> None:
    array = zarr.create_array(tmp_path / "in", shape=(12, 15), chunks=(4, 5), dtype="i2", fill_value=-7)
    array[4:8, 5:10] = 3
    asked = Rechunk({}, function="blocks:one", overlap=overlap_of({"1": 2}, "None"), select={"0": "1:"})
    space: dict[str, Any] = {}
    exec(FUNCTIONS, space)
    found = run(tmp_path, mine, asked)
    plain = array[1:]
    assert isinstance(plain, np.ndarray)
    np.testing.assert_array_equal(found[...], dasks(plain, space["one"], {"1": 2}, {"1": "None"}, (4, 5)))
    assert found.fill_value == -7.0  # the new type holds it


def test_the_type_may_change_and_codecs_stay(tmp_path: Path, mine: Path) -> None:
    options = {"compressors": zarr.codecs.BloscCodec(typesize=4), "fill_value": 5}
    asked = Rechunk({}, function="blocks:one", overlap=overlap_of({"0": 1, "1": 1}, "Reflect"))
    found = run(tmp_path, mine, asked, options=options)
    assert found.dtype == np.dtype("f8")
    (codec,) = found.compressors
    assert isinstance(codec, zarr.codecs.BloscCodec)
    assert codec.typesize == 8
    assert found.fill_value == 5.0


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_same_bytes_for_any_memory_and_number_of_workers(tmp_path: Path, mine: Path, zarr_format: int) -> None:
    data = np.random.default_rng(1).random((40, 60, 50))
    make(tmp_path / "in", data, (7, 60, 50), zarr_format=zarr_format)
    asked = Rechunk({"0": 10, "1": 11}, function="blocks:one", overlap=overlap_of({"0": 1, "1": 1, "2": 1}, "Periodic"))
    digests = set()
    for workers, memory in ((1, 2000), (2, 300), (7, 260)):
        job = rechunk_job(tmp_path / "in", tmp_path / f"out{workers}", asked, workers, memory * MIB)
        done(with_function(job, mine), tmp_path)
        out = tmp_path / f"out{workers}"
        files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != "_manifest.json")
        digests.add(tuple((path.relative_to(out), path.read_bytes()) for path in files))
    assert len(digests) == 1


# -- what is refused -------------------------------------------------------------------------------------------------

WRONG = """
import numpy as np
def shrinks(block): return block[1:] if len(block) > 8 else block
def nothing(block): pass
def text(block): return block.astype("U8")
def masked(block): return np.ma.masked_equal(block, 1)
def late(block):
    if (block == 60).any(): raise ValueError("sixty is too much")
    return block
def floats_later(block): return block / 2 if (block == 60).any() else block
def two(block, other): return block
async def soon(block): return block
def hungry(block):
    if len(block) > 8: np.ones(1 << 32)
    return block
"""


@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        ({"overlap": overlap_of({"2": 1}, "None")}, InvalidSpec, ["overlap.depth", "no array has a dimension '2'"]),
        ({"overlap": overlap_of({"0": 13}, "None")}, InvalidSpec, ["overlap.depth.0", "13 is deeper", "long (12)"]),
        (
            {"overlap": overlap_of({"0": (1, 0)}, "Reflect")},
            InvalidSpec,
            ["overlap.depth.0", '"1:0" differs', "None alone", "not with Reflect"],
        ),
        ({"overlap": overlap_of({"0": 1}, "0.5")}, InvalidSpec, ["boundary 0.5 of 0", "int32", "does not hold it"]),
        ({"overlap": overlap_of({"0": 1}, "NaN")}, InvalidSpec, ["boundary NaN", "int32"]),
        ({"overlap": Overlap({"0": (1, 1)}, "None", {"7": "Reflect"})}, InvalidSpec, ["overlap.boundaries", "'7'"]),
        ({"function": "wrong:none"}, InvalidSpec, ["rechunk.apply", "has no 'none'"]),
        ({"function": "wrong:two"}, InvalidSpec, ["one argument, the array", "(block, other)"]),
        ({"function": "wrong:soon"}, InvalidSpec, ["async"]),
        ({"function": "wrong:nothing"}, InvalidSpec, ["rechunk.dtype", "it returned None", "declare"]),
        ({"function": "wrong:text"}, InvalidSpec, ["the type <U8", "expected numbers"]),
        ({"function": "wrong:masked"}, InvalidSpec, ["masked array", "filled"]),
        (
            {"function": "wrong:late"},
            UserFunctionFailed,
            ["raised ValueError: sixty is too much", "chunk (1, 0) of the array, 0 4:8, 1 0:5", "in late"],
        ),
        (
            {"function": "wrong:floats_later"},
            UserFunctionFailed,
            ["type float64, expected int32", "astype('int32')", "dtype: float64", "chunk (1, 0)"],
        ),
        (
            {"function": "wrong:shrinks", "chunks": {"0": 12}},
            UserFunctionFailed,
            ["shape (11, 5), expected (12, 5)", "keeps its shape", "chunk (0, 0)"],
        ),
        (
            {"function": "blocks:square", "dtype": "int32", "overlap": Overlap({"0": (1, 1)}, "Reflect", {}, False)},
            UserFunctionFailed,
            ["shape (6, 5), expected (4, 5)", "trim: false"],
        ),
        ({"function": "wrong:hungry", "chunks": {"0": 12}}, OutOfMemory, ["spec.functions.memory", "chunk (0, 0)"]),
    ],
)
def test_what_cannot_be_is_said(
    tmp_path: Path, mine: Path, fields: dict[str, Any], kind: type[JobError], said: Sequence[str]
) -> None:
    module(mine, "wrong", WRONG)
    asked = Rechunk(**{"chunks": {}, "function": "blocks:one", **fields})
    with pytest.raises(kind) as caught:
        run(tmp_path, mine, asked)
    for words in said:
        assert words in caught.value.message
    assert "rechunk" in caught.value.message


def test_a_block_that_its_process_cannot_hold_is_refused_in_the_plan(tmp_path: Path, mine: Path) -> None:
    zarr.create_array(tmp_path / "in", shape=(4000, 4000), chunks=(1000, 1000), dtype="f8", fill_value=0)
    asked = Rechunk({"0": -1, "1": 2000}, function="blocks:square", dtype="float64")
    job = rechunk_job(tmp_path / "in", tmp_path / "out", asked, memory=2000 * MIB)
    job = with_function(job, mine, 128 * MIB)
    with pytest.raises(OutOfMemory, match="a block of the array with its halo is"):
        tasks_of(job, tmp_path).plan(job)


# -- groups ----------------------------------------------------------------------------------------------------------


def test_coordinates_are_not_given_to_the_function(tmp_path: Path, mine: Path, weather: Path) -> None:
    """Of a group, variables that have a dimension of the halo are given; the others, and coordinates, stay."""
    asked = Rechunk(
        {"time": 10, "latitude": 9}, function="blocks:first_only", overlap=overlap_of({"time": 5}, "Nearest")
    )
    tasks, _ = done(with_function(rechunk_job(weather, tmp_path / "out", asked), mine), tmp_path)
    before, after = xr.open_zarr(weather), xr.open_zarr(tmp_path / "out")
    xr.testing.assert_identical(before.coords.to_dataset().load(), after.coords.to_dataset().load())
    assert {array.path for array in tasks.loaded.arrays if array.called is not None} == {"t2m", "rain"}
    space: dict[str, Any] = {}
    exec(FUNCTIONS, space)
    wanted = dasks(before.t2m.values, space["first_only"], {"0": 5}, {"0": "Nearest"}, (10, 9, 36))
    np.testing.assert_array_equal(after.t2m.values, wanted)
    assert after.t2m.attrs == before.t2m.attrs


def test_a_halo_in_a_dimension_that_no_variable_has_is_refused(tmp_path: Path, mine: Path, weather: Path) -> None:
    asked = Rechunk({}, function="blocks:one", overlap=overlap_of({"time": 1}, "None"), variables=["latitude"])
    with pytest.raises(InvalidSpec, match="no array has a dimension 'time'"):
        run_plan(tmp_path, mine, weather, asked)


def test_strings_are_not_given(tmp_path: Path, mine: Path, weather: Path) -> None:
    asked = Rechunk({}, function="blocks:one", variables=["station"])
    with pytest.raises(InvalidSpec, match=r"station has elements of the type .*variables"):
        run_plan(tmp_path, mine, weather, asked)


def run_plan(tmp_path: Path, mine: Path, source: Path, asked: Rechunk) -> None:
    job = with_function(rechunk_job(source, tmp_path / "out", asked), mine)
    tasks_of(job, tmp_path).plan(job)


def test_explain_says_what_is_called_and_what_halos_cost(tmp_path: Path, mine: Path) -> None:
    make(tmp_path / "in", np.zeros((100, 80, 70), "f4"), (10, 80, 70), attributes={"scale_factor": 0.5})
    asked = Rechunk({"1": 8}, function="blocks:one", overlap=overlap_of({"0": 1, "1": 1}, "Reflect"))
    job = with_function(rechunk_job(tmp_path / "in", tmp_path / "out", asked), mine)
    plan = make_plan(job, Budgets.for_limit(job.memory), LocalStorage(), LocalStorage(), tmp_path)
    found = explain(plan, Budgets.for_limit(job.memory))
    text = "\n".join(tree_lines(found.tree))
    assert "blocks:one is called for 100 chunks of the array, in a process of its own" in text
    assert "float32 to float64, halo of 1 in 0 (boundary Reflect), 1 in 1 (boundary Reflect)" in text
    assert found.work.halo > 0
    assert f"halos send {readable(found.work.halo)} of it more than once" in text
    assert any("packed by scale_factor" in note for note in found.notes)


def tree_lines(node: PlanNode | None) -> list[str]:
    assert node is not None
    return [*node.why, *(line for inner in node.inputs for line in tree_lines(inner))]

"""What any storage must do, run against each: local files, S3 over HTTP, another fsspec store.

The contract is `shuffle_worker.storage.storage`. A new storage is added by a subclass of `StorageContract` with
a `place`.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from tests.storage.s3_server import BUCKET, open_s3

from shuffle_protocol.errors import InputNotFound
from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage import Info, Range, Storage, storage_for


class Place(NamedTuple):
    """A storage and an empty folder in it. tags: whether it says the tag with the bytes."""

    storage: Storage
    folder: str
    tags: bool = True

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def names(self, infos: list[Info]) -> list[str]:
        assert all(info.path.startswith(self.folder + "/") for info in infos)
        return [info.path[len(self.folder) + 1 :] for info in infos]


class StorageContract:
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        raise NotImplementedError

    @pytest.fixture
    def tree(self, place: Place) -> Place:
        for name in (
            "b/two.parquet",
            "a/one.parquet",
            "a/_SUCCESS",
            "a/.crc",
            "_staging/part",
            "year=2025/x=1/p.parquet",
            "year=2026/x=2/p.parquet",
            "notes.txt",
            "ab/three.parquet",
        ):
            place.storage.put(place.path(name), name.encode())
        return place

    def test_a_file_is_what_was_put(self, place: Place) -> None:
        place.storage.put(place.path("x/file"), b"one")
        assert place.storage.read(place.path("x/file")) == b"one"
        place.storage.put(place.path("x/file"), b"other bytes")
        assert place.storage.read(place.path("x/file")) == b"other bytes"
        info = place.storage.info(place.path("x/file"))
        assert info.size == 11
        assert info.path == place.path("x/file")

    def test_ranges_of_several_files(self, place: Place) -> None:
        for name in "ab":
            place.storage.put(place.path(name), name.encode() + b"0123456789")
        a, b = place.path("a"), place.path("b")
        wanted = [Range(a, 0, 3), Range(a, 5, 11), Range(b, 1, 2), Range(a, 3, 4), Range(b, 8, 40)]
        assert place.storage.read_ranges(wanted) == [b"a01", b"456789", b"0", b"2", b"789"]
        assert place.storage.read_ranges([]) == []
        with pytest.raises(InputNotFound, match="absent"):
            place.storage.read_ranges([Range(a, 0, 1), Range(place.path("absent"), 0, 1)])

    def test_an_empty_file_is_a_file(self, place: Place) -> None:
        place.storage.put(place.path("empty"), b"")
        assert place.storage.info(place.path("empty")).size == 0
        assert place.storage.read(place.path("empty")) == b""

    def test_the_tag_changes_with_the_bytes(self, place: Place) -> None:
        place.storage.put(place.path("file"), b"aaa")
        before = place.storage.info(place.path("file"))
        assert place.storage.info(place.path("file")) == before
        place.storage.put(place.path("file"), b"bbb")
        assert place.storage.info(place.path("file")).tag != before.tag

    def test_what_is_fetched_comes_with_its_tag(self, place: Place) -> None:
        place.storage.put(place.path("a"), b"some bytes")
        data, tag = place.storage.fetch(place.path("a"))
        assert data == b"some bytes"
        assert tag in ("", place.storage.info(place.path("a")).tag)
        assert bool(tag) == place.tags
        with pytest.raises(InputNotFound, match="b"):
            place.storage.fetch(place.path("b"))

    def test_listed_and_asked_for_alike(self, tree: Place) -> None:
        for info in tree.storage.listing(tree.folder):
            assert tree.storage.info(info.path) == info

    def test_a_folder_means_its_data_files_sorted(self, tree: Place) -> None:
        expected = [
            "a/one.parquet",
            "ab/three.parquet",
            "b/two.parquet",
            "notes.txt",
            "year=2025/x=1/p.parquet",
            "year=2026/x=2/p.parquet",
        ]
        assert tree.names(tree.storage.find(tree.folder)) == expected
        assert tree.names(tree.storage.find(tree.folder + "/")) == expected

    def test_a_folder_is_not_its_namesakes(self, tree: Place) -> None:
        assert tree.names(tree.storage.find(tree.path("a"))) == ["a/one.parquet"]
        assert tree.names(tree.storage.listing(tree.path("a"))) == ["a/.crc", "a/_SUCCESS", "a/one.parquet"]

    def test_one_file_is_itself_even_where_hidden(self, tree: Place) -> None:
        assert tree.names(tree.storage.find(tree.path("a/one.parquet"))) == ["a/one.parquet"]
        assert tree.names(tree.storage.find(tree.path("a/_SUCCESS"))) == ["a/_SUCCESS"]

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("*/*.parquet", ["a/one.parquet", "ab/three.parquet", "b/two.parquet"]),
            ("**/*.parquet", None),
            ("year=*/x=*/*.parquet", ["year=2025/x=1/p.parquet", "year=2026/x=2/p.parquet"]),
            ("year=202[6]/**/*.parquet", ["year=2026/x=2/p.parquet"]),
            ("?/*", ["a/one.parquet", "b/two.parquet"]),
            ("year=*", ["year=2025/x=1/p.parquet", "year=2026/x=2/p.parquet"]),
        ],
    )
    def test_a_glob_names_files_and_folders(self, tree: Place, pattern: str, expected: list[str] | None) -> None:
        found = tree.names(tree.storage.find(tree.path(pattern)))
        if expected is None:
            expected = [name for name in tree.names(tree.storage.find(tree.folder)) if name.endswith(".parquet")]
        assert found == expected

    def test_a_listing_has_hidden_files_too(self, tree: Place) -> None:
        assert "_staging/part" in tree.names(tree.storage.listing(tree.folder))
        assert "a/.crc" in tree.names(tree.storage.listing(tree.folder))

    def test_what_is_not_there_is_said_by_name(self, tree: Place) -> None:
        for path in ("nothing", "nothing/", "no*such", "a/nothing.parquet"):
            with pytest.raises(InputNotFound, match=r"no"):
                tree.storage.find(tree.path(path))
        assert tree.storage.listing(tree.path("nothing")) == []
        with pytest.raises(InputNotFound, match="nothing"):
            tree.storage.info(tree.path("nothing"))
        with pytest.raises(InputNotFound, match="nothing"):
            tree.storage.open(tree.path("nothing"))
        with pytest.raises(InputNotFound, match="nothing"):
            tree.storage.read(tree.path("nothing"))

    def test_a_folder_is_no_file(self, tree: Place) -> None:
        with pytest.raises(InputNotFound, match="a"):
            tree.storage.info(tree.path("a"))

    def test_a_folder_of_hidden_files_only_holds_no_data(self, place: Place) -> None:
        place.storage.put(place.path("out/_SUCCESS"), b"")
        with pytest.raises(InputNotFound, match="out"):
            place.storage.find(place.path("out"))

    def test_listings_are_never_stale(self, place: Place) -> None:
        assert place.storage.listing(place.folder) == []
        place.storage.put(place.path("d/one"), b"1")
        assert place.names(place.storage.listing(place.folder)) == ["d/one"]
        place.storage.put(place.path("d/two"), b"2")
        assert place.names(place.storage.listing(place.folder)) == ["d/one", "d/two"]
        place.storage.remove([place.path("d/one")])
        assert place.names(place.storage.listing(place.folder)) == ["d/two"]

    def test_random_access(self, place: Place) -> None:
        data = random.Random(1).randbytes(300_000)
        place.storage.put(place.path("file"), data)
        with place.storage.open(place.path("file")) as file:
            assert file.read(10) == data[:10]
            file.seek(200_000)
            assert file.read(1000) == data[200_000:201_000]
            assert file.tell() == 201_000
            assert file.seek(-5, 2) == 299_995
            assert file.read(100) == data[-5:]
            assert file.read(100) == b""
            file.seek(0)
            assert file.read() == data

    def test_arrow_reads_it(self, place: Place) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"x": list(range(1000))}), sink)
        place.storage.put(place.path("file.parquet"), sink.getvalue().to_pybytes())
        with place.storage.open(place.path("file.parquet")) as file:
            assert pq.read_table(file).column("x").to_pylist() == list(range(1000))
        native = place.storage.native(place.path("file.parquet"))
        if native is not None:
            assert pq.read_table(native).num_rows == 1000

    @pytest.mark.parametrize("pieces", [[], [b""], [b"a"], [b"one", b"two"], [bytes(1 << 20)] * 20])
    def test_a_sink_is_seen_at_commit_and_not_before(self, place: Place, pieces: list[bytes]) -> None:
        target = place.path("new/part-0")
        sink = place.storage.create(target)
        for piece in pieces:
            assert sink.write(memoryview(piece)) == len(piece)
            with pytest.raises(InputNotFound):
                place.storage.info(target)
            assert target not in [info.path for info in place.storage.listing(place.folder)]
        whole = b"".join(pieces)
        assert sink.size == len(whole)
        assert sink.checksum == xxhash.xxh3_64(whole).hexdigest()
        sink.commit()
        sink.commit()
        assert place.storage.read(target) == whole
        assert place.names(place.storage.listing(place.folder)) == ["new/part-0"]

    def test_a_sink_replaces(self, place: Place) -> None:
        place.storage.put(place.path("part"), b"old")
        sink = place.storage.create(place.path("part"))
        sink.write(b"new bytes")
        assert place.storage.read(place.path("part")) == b"old"
        sink.commit()
        assert place.storage.read(place.path("part")) == b"new bytes"

    @pytest.mark.parametrize("size", [0, 10, 20 << 20])
    def test_nothing_is_left_of_an_aborted_sink(self, place: Place, size: int) -> None:
        place.storage.put(place.path("d/part"), b"old")
        sink = place.storage.create(place.path("d/part"))
        for _ in range(max(size >> 20, 1)):
            sink.write(bytes(min(size, 1 << 20)))
        sink.abort()
        sink.abort()
        sink.commit()
        assert place.names(place.storage.listing(place.folder)) == ["d/part"]
        assert place.storage.read(place.path("d/part")) == b"old"
        self.assert_swept(place)

    def test_a_sweep_removes_what_the_dead_left(self, place: Place) -> None:
        place.storage.put(place.path("d/keep"), b"1")
        sink = place.storage.create(place.path("d/part"))
        for _ in range(10):
            sink.write(bytes(1 << 20))
        place.storage.sweep(place.folder)
        assert place.names(place.storage.listing(place.folder)) == ["d/keep"]
        self.assert_swept(place)
        del sink

    def test_parquet_is_written_through_a_sink(self, place: Place) -> None:
        table = pa.table({"x": list(range(10_000)), "s": [f"text {n}" for n in range(10_000)]})
        sink = place.storage.create(place.path("t.parquet"))
        with pa.PythonFile(sink, mode="w") as file:
            pq.write_table(table, file)
        sink.commit()
        assert pq.read_table(pa.BufferReader(place.storage.read(place.path("t.parquet")))) == table
        assert sink.size == place.storage.info(place.path("t.parquet")).size

    def test_move_replaces_and_can_be_done_again(self, place: Place) -> None:
        source, target = place.path("staging/part"), place.path("out/part")
        place.storage.put(source, b"new")
        place.storage.put(target, b"old")
        place.storage.move(source, target)
        assert place.storage.read(target) == b"new"
        assert place.names(place.storage.listing(place.folder)) == ["out/part"]
        place.storage.move(source, target)
        assert place.storage.read(target) == b"new"
        with pytest.raises(InputNotFound):
            place.storage.move(source, place.path("elsewhere"))

    def test_remove_takes_absent_ones(self, place: Place) -> None:
        names = [f"d/{n}" for n in range(50)]
        for name in names:
            place.storage.put(place.path(name), b"x")
        place.storage.remove([place.path(name) for name in (*names, "d/absent", "e/absent")])
        place.storage.remove([])
        assert place.storage.listing(place.folder) == []

    def assert_swept(self, place: Place) -> None:
        """Nothing is there that a listing does not show."""


class TestLocal(StorageContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(storage_for(str(tmp_path)), str(tmp_path / "root"))

    def assert_swept(self, place: Place) -> None:
        hidden = [path for path in Path(place.folder).rglob(".*") if path.is_file()]
        assert hidden == []


class TestFsspecMemory(StorageContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        folder = f"memory://{uuid.uuid4().hex}"
        storage = storage_for(folder)
        yield Place(storage, folder, tags=False)
        storage.remove([info.path for info in storage.listing(folder)])


@pytest.fixture(scope="module")
def s3_storage() -> Iterator[Storage]:
    with open_s3() as address:
        yield storage_for(f"s3://{BUCKET}", StorageOptions(endpoint=address))


class TestS3(StorageContract):
    @pytest.fixture
    def place(self, s3_storage: Storage) -> Place:
        return Place(s3_storage, f"s3://{BUCKET}/{uuid.uuid4().hex}")

    def assert_swept(self, place: Place) -> None:
        from shuffle_worker.storage.s3 import S3Storage

        assert isinstance(place.storage, S3Storage)
        uploads = place.storage.call(place.folder, "listing", "list_multipart_uploads", Bucket=BUCKET)
        assert not uploads.get("Uploads")

    def test_more_files_than_a_page(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        from shuffle_worker.storage import s3

        monkeypatch.setattr(s3, "PAGE", 7)
        for number in range(30):
            place.storage.put(place.path(f"f{number:02}"), b"x")
        assert place.names(place.storage.listing(place.folder)) == [f"f{number:02}" for number in range(30)]

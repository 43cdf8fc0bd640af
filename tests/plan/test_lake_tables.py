"""Folders that are tables of Delta Lake, Iceberg, Hudi, Paimon, Lance or transactional Hive: refused by name, for their
files are not their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.plan.jobs import job, plan_of
from tests.storage.places import Place
from tests.storage.s3_server import open_s3

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.storage.s3 import S3Storage

LOGS = {
    "Delta Lake": ["_delta_log/00000000000000000000.json", "_delta_log/_last_checkpoint"],
    "Hudi": [".hoodie/hoodie.properties"],
    "Iceberg": ["metadata/00000-1b2c.metadata.json", "metadata/snap-1.avro"],
    "Iceberg of Hadoop": ["metadata/v3.metadata.json", "metadata/version-hint.text"],
    "Paimon": ["snapshot/snapshot-1", "schema/schema-0", "manifest/manifest-1"],
    "Lance": ["_versions/1.manifest", "_transactions/0-1.txn"],
}
KINDS = [(name.removesuffix(" of Hadoop"), log) for name, log in LOGS.items()]
DATA = ["data/k=1/v1.parquet", "data/k=1/v2.parquet", "k=1/v3.parquet", "k=1/sub/v4.parquet"]


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1]}), sink)
    return sink.getvalue().to_pybytes()


class Lake(Place):
    def put(self, *names: str, data: bytes | None = None) -> None:
        super().put(*names, data=parquet() if data is None else data)

    def files(self, *paths: str) -> int:
        """How many the plan has."""
        asked = [f"{self.folder}/{path}" for path in paths]
        return plan_of(job("", paths=asked, storage=self.settings, out=f"{self.folder}-out")).summary.input_files


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with open_s3() as address:
        yield address


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest) -> Lake:
    if request.param == "local":
        return Lake.on_disk(request.getfixturevalue("tmp_path"))
    return Lake.on_s3(request.getfixturevalue("address"))


@pytest.mark.parametrize(("kind", "log"), KINDS, ids=LOGS)
def test_a_table_is_refused_however_it_is_named(place: Lake, kind: str, log: list[str]) -> None:
    place.put(*(f"t/{name}" for name in [*DATA, *log]), "plain/k=1/a.parquet")
    everything = ["t", "t/", "", "*"]
    below = ["t/data/", "t/data/k=1", "t/k=1", "t/k=1/sub/"]
    patterns = [
        "t/k=1/*.parquet",
        "t/**/v1.parquet",
        "*/data/*/*",
        "t/data/k=1/v[12].parquet",
        "t*/k=1",
        "**/v3.parquet",
    ]
    # what a pattern names is the same everywhere: where a path costs requests, some of each kind are enough
    paths = [*everything, *below, *patterns] if "://" not in place.folder else ["t", "", "t/k=1/sub/", "*/data/*/*"]
    for path in paths:
        with pytest.raises(InvalidSpec) as said:
            place.files(path)
        assert f"{place.folder}/t is a" in said.value.message
        assert f" {kind} table, shown by {log[0].split('/')[0]}/" in said.value.message
        assert "Its files are not its rows" in said.value.message
        assert "name the current files one by one in `paths`" in said.value.message
    with pytest.raises(InvalidSpec, match=f"{kind} table"):
        place.files("plain", "t/k=1")
    assert place.files("t/k=1/v3.parquet", "t/data/k=1/v2.parquet") == 2  # these very files are asked for
    assert place.files("plain") == place.files("plain/*/*.parquet") == place.files("p*") == 1


@pytest.mark.parametrize(
    "name",
    [
        "_delta_log.parquet",
        "metadata/a.parquet",
        "snapshot/a.parquet",
        "delta_log/a.parquet",
        "base_0000001/a.parquet",
        "k=metadata/a.parquet",
        "hoodie/a.parquet",
        "versions/a.parquet",
    ],
)
def test_names_that_are_like_those_of_tables(place: Lake, name: str) -> None:
    place.put(f"t/{name}", "t/a.parquet")
    assert place.files("t/a.parquet", f"t/{name}") == 2
    hidden = name.startswith("_")
    assert place.files("t/*" if not hidden else "t") == (1 if hidden else 2)


@pytest.mark.parametrize("folder", ["base_0000005", "delta_0000001_0000001_0000", "delete_delta_0000002_0000002"])
def test_transactional_tables_of_hive(place: Lake, folder: str) -> None:
    place.put(f"t/k=1/{folder}/bucket_00000")
    for path in ("t", "t/k=1", f"t/k=1/{folder}", "t/*/*/bucket*"):
        with pytest.raises(InvalidSpec, match=f"is a transactional Hive table, shown by {folder}/bucket_00000"):
            place.files(path)
    assert place.files(f"t/k=1/{folder}/bucket_00000") == 1


def test_a_partition_of_hudi_alone(place: Lake) -> None:
    place.put("t/k=1/a.parquet", "t/k=1/.hoodie_partition_metadata")
    with pytest.raises(InvalidSpec, match=r"is a Hudi table, shown by \.hoodie_partition_metadata"):
        place.files("t")


def test_the_log_itself_may_be_read(place: Lake) -> None:
    place.put("t/a.parquet", "t/_delta_log/1.checkpoint.parquet")
    assert place.files("t/_delta_log") == place.files("t/_delta_log/*.parquet") == 1


def test_several_tables_and_a_folder_beside_them(place: Lake) -> None:
    place.put("a/x.parquet", "a/_delta_log/0.json", "b/x.parquet", "c/x.parquet", "c/metadata/version-hint.text")
    assert place.files("b") == place.files("[b]") == 1
    with pytest.raises(InvalidSpec, match=r"/a is a Delta Lake table, shown by _delta_log/ \(it is in "):
        place.files("")
    with pytest.raises(InvalidSpec, match="/c is an Iceberg table"):
        place.files("[bc]")


def test_it_costs_some_requests_and_no_listing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the folders above hold: none of them is listed."""
    place = Lake.on_s3(address)
    place.put(*(f"deep/er/t/k={n}/a.parquet" for n in range(20)), *(f"deep/f{n}" for n in range(20)))
    seen: list[str] = []
    call: Callable[..., dict[str, object]] = S3Storage.call

    def counted(self: S3Storage, path: str, doing: str, method: str, **parameters: object) -> dict[str, object]:
        seen.append(str(parameters.get("Prefix", "")))
        return call(self, path, doing, method, **parameters)

    monkeypatch.setattr(S3Storage, "call", counted)
    root = place.folder.rsplit("/", 1)[-1]
    from shuffle_protocol.jobs import Input
    from shuffle_worker.inputs.listing import list_files

    paths = [f"{place.folder}/deep/er/t/k={n}" for n in range(20)]
    assert len(list_files(Input(paths), place.storage).files) == 20
    assert len(seen) <= 20 * 2 + 5 * 5  # a look and a listing for each; five places in each of the folders above
    assert f"{root}/deep/" not in seen
    assert f"{root}/deep/er/" not in seen

"""Google's and Azure's stores: their addresses, options and errors; and whole jobs over their protocols."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of
from tests.storage.cloud_servers import BUCKET, NOBODY, azure_server, google_server, new_container

from shuffle_protocol.errors import AccessDenied, InputNotFound, InvalidSpec, OutOfDisk, StorageUnavailable
from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.output.names import relative
from shuffle_worker.storage import Storages, storage_for, urls
from shuffle_worker.storage.clouds import AzureStorage, GoogleStorage
from shuffle_worker.storage.retry import Transient

HOST = "account.dfs.core.windows.net"


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("gs://b/x", "gs://b/x"),
        ("gcs://b/x", "gs://b/x"),
        ("GS://b/x", "gs://b/x"),
        ("abfs://c/x", "abfs://c/x"),
        ("az://c/x", "abfs://c/x"),
        (f"abfss://c@{HOST}/x/y", "abfs://c/x/y"),
        ("wasbs://c@account.blob.core.windows.net/x", "abfs://c/x"),
        ("s3://b/user@host/x", "s3://b/user@host/x"),
    ],
)
def test_spellings(path: str, canonical: str) -> None:
    assert urls.canonical(path) == canonical


def test_each_account_is_a_store_of_its_own() -> None:
    known = Storages()
    one, other = known.of(f"abfss://c@{HOST}/x"), known.of("abfss://c@other.dfs.core.windows.net/x")
    assert one is known.of(f"abfss://c@{HOST}/y")
    assert one is not other
    assert isinstance(one, AzureStorage)
    assert one._options()["account_name"] == "account"
    assert isinstance(known.of("gcs://b/x"), GoogleStorage)


def test_options_are_checked() -> None:
    with pytest.raises(InvalidSpec, match=r"storage\.options\.acount_name.*did you mean 'account_name'"):
        AzureStorage(StorageOptions(options={"acount_name": "x"}))._options()
    with pytest.raises(InvalidSpec, match=r"storage\.options\.key: is no option of gs://; there are token"):
        GoogleStorage(StorageOptions(options={"key": "x"}))._options()
    with pytest.raises(InvalidSpec, match=r"storage\.endpoint: localhost:4443 is no address"):
        GoogleStorage(StorageOptions(endpoint="localhost:4443"))._options()


class Refused(Exception):
    """As gcsfs and Azure's client raise them."""

    def __init__(self, code: int) -> None:
        super().__init__("said by the store")
        self.code = code


class DefaultCredentialsError(Exception):
    """Google's."""


class ServiceRequestError(Exception):
    """Azure's."""


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (Refused(403), AccessDenied, "refused (403)"),
        (Refused(401), AccessDenied, "GOOGLE_APPLICATION_CREDENTIALS"),
        (DefaultCredentialsError(), AccessDenied, "GOOGLE_APPLICATION_CREDENTIALS"),
        (Refused(404), InputNotFound, "no such file"),
        (FileNotFoundError(), InputNotFound, "no such file"),
        (Refused(507), OutOfDisk, "no room left"),
        (Refused(503), Transient, "busy or failing"),
        (Refused(429), Transient, "busy or failing"),
        (ServiceRequestError("x"), Transient, "does not answer"),
        (Refused(418), StorageUnavailable, "said by the store"),
    ],
)
def test_errors_are_for_people(error: Exception, kind: type[Exception], said: str) -> None:
    found = GoogleStorage(StorageOptions())._translate("gs://b/x", "reading", error)
    assert isinstance(found, kind)
    assert said in str(found)


def test_names_below_an_output_of_another_spelling() -> None:
    assert relative("abfs://c/out/k=1/part-0", f"abfss://c@{HOST}/out/") == "k=1/part-0"
    assert relative("s3://b/out/part-0", "s3a://b/out") == "part-0"
    assert relative("/a/out/part-0", "/a/x/../out") == "part-0"


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as changed:
        for name, value in NOBODY.items():
            changed.setenv(name, value)
        yield


@pytest.fixture(params=["gs", "abfs"])
def place(request: pytest.FixtureRequest, environment: None, tmp_path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if request.param == "gs":
        with google_server() as address:
            yield f"gs://{BUCKET}/{uuid.uuid4().hex}", {"endpoint": address, "options": {"token": "anon"}}
        return
    with azure_server(tmp_path / "azurite") as address:
        yield f"abfs://{new_container(address)}/x", {"endpoint": address}


def test_a_job_in_and_out(place: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    """Written to folders, replaced, and read back from one of them."""
    root, reached = place
    storage = storage_for(root, StorageOptions(**reached))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"row": range(40), "k": ["a b", "中"] * 20}), sink)
    storage.put(f"{root}/in/dt=2026-01-01/a.parquet", sink.getvalue().to_pybytes())
    storage.put(f"{root}/in/dt=2026-01-01", b"")
    given = {"path": f"{root}/in/", "storage": reached}
    output = {"path": f"{root}/out", "partitions": 1, "partitionBy": ["k"], "storage": reached}
    assert carry_out(job_of(given, output), tmp_path / "scratch").rows == 40
    assert carry_out(job_of(given, {**output, "onExisting": "Overwrite"}), tmp_path / "scratch").files == 2
    names = [relative(info.path, f"{root}/out") for info in storage.listing(f"{root}/out")]
    assert names == ["_SUCCESS", "_manifest.json", "k=a b/part-00000.parquet", "k=中/part-00000.parquet"]
    back = {"path": f"{root}/out/k=中", "storage": reached}
    carry_out(job_of(back, {"path": str(tmp_path / "back"), "partitions": 1}), tmp_path / "scratch")
    found = pq.read_table(tmp_path / "back" / "part-00000.parquet")
    assert found.column_names == ["row", "dt", "k"]
    assert set(found.column("k").to_pylist()) == {"中"}
    with pytest.raises(InputNotFound, match="no such file"):
        storage.find(f"{root}/nothing")

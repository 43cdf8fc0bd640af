"""The contract of storages, over Google's and Azure's protocols."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.test_storages import Place, StorageContract
from tests.storage.cloud_servers import BUCKET, NOBODY, azure_server, google_server, new_container

from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage import storage_for


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as changed:
        for name, value in NOBODY.items():
            changed.setenv(name, value)
        yield changed


@pytest.fixture(scope="module")
def google(environment: pytest.MonkeyPatch) -> Iterator[StorageOptions]:
    with google_server() as address:
        yield StorageOptions(endpoint=address, options={"token": "anon", "project": "test"})


@pytest.fixture(scope="module")
def azure(environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageOptions]:
    folder: Path = tmp_path_factory.mktemp("azurite")
    with azure_server(folder) as address:
        yield StorageOptions(endpoint=address)


class TestGoogle(StorageContract):
    @pytest.fixture
    def place(self, google: StorageOptions) -> Place:
        return Place(storage_for("gs://x", google), f"gs://{BUCKET}/{uuid.uuid4().hex}", tags=False)


class TestAzure(StorageContract):
    @pytest.fixture
    def place(self, azure: StorageOptions) -> Place:
        folder = f"abfs://{new_container(azure.endpoint)}/{uuid.uuid4().hex}"
        return Place(storage_for("abfs://x", azure), folder, tags=False)

"""Which storage an address belongs to, what a pattern names, and which addresses are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fsspec.registry import _registry  # type: ignore[import-untyped]

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage import FsspecStorage, LocalStorage, storage_for, urls
from shuffle_worker.storage.s3_errors import shown
from shuffle_worker.storage.s3_settings import client_options


@pytest.mark.parametrize("path", ["/a/b", "a/b", "file:///a/b", "local:///a", "FILE:///a", "~/x", "/data/a::b"])
def test_plain_paths_are_local(path: str) -> None:
    assert isinstance(storage_for(path), LocalStorage)


@pytest.mark.parametrize("path", ["s3://b/k", "s3a://b/k", "S3://b/k"])
def test_s3_has_several_spellings(path: str) -> None:
    storage = storage_for(path)
    assert isinstance(storage, FsspecStorage)
    assert type(storage).__name__ == "S3Storage"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("s4://b/k", "s3"),
        ("gss://b/k", "gs://"),
        ("abfss2://b/k", "abfs"),
        ("htps://h/f", "http"),
        ("nonsense123://x", "unknown scheme nonsense123"),
    ],
)
def test_an_unknown_scheme_is_refused_with_the_nearest(path: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match="unknown scheme") as refused:
        storage_for(path)
    assert said in refused.value.message


@pytest.mark.parametrize("path", ["zip://a.parquet::s3://b/k.zip", "simplecache::s3://b/k", "filecache::gs://x"])
def test_chained_addresses_are_refused(path: str) -> None:
    with pytest.raises(InvalidSpec, match="chained"):
        storage_for(path)


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="empty"):
        storage_for("")


@pytest.mark.parametrize(
    ("path", "package", "extra"),
    [
        ("gs://bucket/x", "gcsfs", "gcs"),
        ("gcs://bucket/x", "gcsfs", "gcs"),
        ("abfs://container/x", "adlfs", "azure"),
        ("abfss://container@account.dfs.core.windows.net/x", "adlfs", "azure"),
        ("az://container/x", "adlfs", "azure"),
    ],
)
def test_a_store_whose_package_is_missing_says_which(
    path: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for scheme in ("gs", "abfs"):
        monkeypatch.delitem(_registry, scheme, raising=False)
    with pytest.raises(InvalidSpec, match=rf"pip install 'shuffle-operator\[{extra}\]' .*{package}"):
        storage_for(path).find(path)


def test_a_local_address_with_two_slashes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="three slashes"):
        storage_for("file://folder/x").find("file://folder/x")


def test_file_addresses_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    storage = storage_for("f")
    assert storage.info("f") == storage.info(f"file://{tmp_path}/f") == storage.info(f"{tmp_path}/f")
    assert storage.info("f").path == f"{tmp_path}/f"


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("s3://b/*/x", "s3://b/a/x", True),
        ("s3://b/*/x", "s3://b/a/c/x", False),
        ("s3://b/**/x", "s3://b/x", True),
        ("s3://b/**/x", "s3://b/a/c/x", True),
        ("s3://b/a?", "s3://b/ab", True),
        ("s3://b/a?", "s3://b/a/", False),
        ("s3://b/[!a]x", "s3://b/bx", True),
        ("s3://b/[!a]x", "s3://b/ax", False),
        ("s3://b/[", "s3://b/[", True),
        ("s3://b/a.b*", "s3://b/aXb", False),
        ("s3://b/d*", "s3://b/d1/deep/file", True),
        ("s3://b/d*/", "s3://b/d1/file", True),
        ("s3://b/*.parquet", "s3://b/x.parquet.crc", False),
    ],
)
def test_patterns(pattern: str, path: str, named: bool) -> None:
    assert urls.matches(path, pattern) is named


def test_the_folder_before_the_first_wildcard() -> None:
    assert urls.glob_base("s3://b/a/*/c/*.parquet") == "s3://b/a"
    assert urls.glob_base("/a/b") == "/a/b"
    assert urls.glob_base("*.parquet") == ""


def test_s3_options_are_checked() -> None:
    with pytest.raises(InvalidSpec, match=r"storage\.options\.regoin.*'region'"):
        client_options(StorageOptions(options={"regoin": "eu"}))
    with pytest.raises(InvalidSpec, match=r"storage\.endpoint: minio:9000 is no address"):
        client_options(StorageOptions(endpoint="minio:9000"))


def test_s3_clients_ask_for_checksums_only_where_required() -> None:
    made = client_options(StorageOptions(endpoint="http://h:1", options={"region": "eu", "addressing_style": "path"}))
    assert made["config_kwargs"]["request_checksum_calculation"] == "when_required"
    assert made["config_kwargs"]["response_checksum_validation"] == "when_required"
    assert made["config_kwargs"]["s3"] == {"addressing_style": "path"}
    assert made["client_kwargs"] == {"region_name": "eu"}
    assert made["endpoint_url"] == "http://h:1"


@pytest.mark.parametrize("uid", ["8682148ae3", "3f2c0a1b-9d1e-4c55-8f00-0a1b2c3d4e5f"])
def test_what_lies_in_a_staging_folder_is_named_as_the_output(uid: str) -> None:
    assert shown(f"s3://b/out/_shuffle-{uid}/group-00000.json") == "s3://b/out/"
    assert shown(f"s3://b/out/_shuffle-{uid}") == "s3://b/out/"

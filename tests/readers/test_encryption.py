"""Encrypted Parquet files: refused while planning, by file and column; what is not encrypted of them can be read.

Arrow aborts the process where it is asked for anything of an encrypted column without a key, so a check that is missing
ends this test run."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from tests.plan.jobs import job, numbers, plan_of, read_all, write

from shuffle_protocol.errors import DataError
from shuffle_worker.readers.encryption import encrypted_leaves, footer_length
from shuffle_worker.readers.parquet_file import ParquetSource
from shuffle_worker.storage import storage_for


class Keys(pe.KmsClient):  # type: ignore[misc]
    """Keys that are wrapped in nothing."""

    def __init__(self, _: Any) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, _: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, _: str) -> bytes:
        return base64.b64decode(wrapped_key)


TABLE = pa.table(
    {
        "id": list(range(100)),
        "secret": [f"s{n}" for n in range(100)],
        "nested": [{"a": n, "b": [n, n]} for n in range(100)],
        "open": [float(n) for n in range(100)],
    }
)


def encrypt(path: Path, columns: list[str], *, plaintext_footer: bool, row_group_size: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    config = pe.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": columns}, plaintext_footer=plaintext_footer
    )
    factory = pe.CryptoFactory(Keys)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
    with pq.ParquetWriter(path, TABLE.schema, encryption_properties=properties) as writer:
        writer.write_table(TABLE, row_group_size=row_group_size)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (["secret"], "column 'secret' is"),
        (["id", "secret"], "columns 'id', 'secret' are"),
        (["nested.a"], "column 'nested' is"),
        (["nested.b.list.element"], "column 'nested' is"),
    ],
)
def test_columns_under_a_footer_that_can_be_read(tmp_path: Path, columns: list[str], named: str) -> None:
    write(tmp_path, {"a": TABLE})
    encrypt(tmp_path / "in" / "b", columns, plaintext_footer=True)
    with pytest.raises(DataError) as caught:
        plan_of(job(tmp_path))
    assert f"{tmp_path}/in/b: {named} encrypted" in caught.value.message
    assert "`columns`" in caught.value.message
    assert caught.value.refusal


def test_a_filter_or_key_on_an_encrypted_column(tmp_path: Path) -> None:
    encrypt(tmp_path / "in" / "f", ["secret"], plaintext_footer=True)
    for more in ({"filter": "secret = 'a'"},):
        with pytest.raises(DataError, match="'secret' is encrypted"):
            plan_of(job(tmp_path, columns=["id"], **more))


def test_the_other_columns_are_read(tmp_path: Path) -> None:
    encrypt(tmp_path / "in" / "f", ["secret", "nested.a"], plaintext_footer=True)
    found, _ = read_all(plan_of(job(tmp_path, columns=["id", "open"], filter="id > 10")))
    assert found.to_pylist() == TABLE.select(["id", "open"]).slice(11).to_pylist()


def test_a_footer_that_is_encrypted(tmp_path: Path) -> None:
    encrypt(tmp_path / "in" / "f", ["secret"], plaintext_footer=False)
    with pytest.raises(DataError, match=r"/in/f: the file's footer is encrypted"):
        plan_of(job(tmp_path))


def test_every_column_is_known_by_its_place(tmp_path: Path) -> None:
    """id is 0, secret 1, nested.a 2, nested.b 3, open 4."""
    path = tmp_path / "f"
    for columns, leaves in ((["id"], {0}), (["nested.a", "open"], {2, 4}), (["secret", "id"], {0, 1})):
        encrypt(path, columns, plaintext_footer=True)
        content = path.read_bytes()
        length = footer_length(content[-8:])
        assert encrypted_leaves(content[-8 - length : -8]) == leaves


@pytest.mark.parametrize("cut", range(0, 600, 7))
def test_a_footer_that_is_damaged_is_no_defect(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "f"
    encrypt(path, ["id"], plaintext_footer=True)
    content = path.read_bytes()
    footer = bytearray(content[-8 - footer_length(content[-8:]) : -8])
    for broken in (bytes(footer[:cut]), bytes(footer[:cut] + bytes([footer[cut] ^ 0xFF]) + footer[cut + 1 :])):
        with contextlib.suppress(ValueError):
            assert all(leaf >= 0 for leaf in encrypted_leaves(broken))


def test_a_remote_file_costs_no_request_more(tmp_path: Path) -> None:
    """From a store every read is a request; the end of the file is among what Arrow reads anyway."""
    import fsspec

    from shuffle_worker.storage.remote import FsspecStorage

    write(tmp_path, {"f": numbers(1000)})
    fsspec.filesystem("memory").pipe("/encrypted/f", (tmp_path / "in" / "f").read_bytes())
    encrypt(tmp_path / "in" / "g", ["id"], plaintext_footer=True)
    fsspec.filesystem("memory").pipe("/encrypted/g", (tmp_path / "in" / "g").read_bytes())
    storage = storage_for("memory://encrypted/f", None)
    assert isinstance(storage, FsspecStorage)
    reads: list[int] = []
    real = storage.read_range

    def counted(path: str, start: int, end: int, tag: str = "") -> bytes:
        reads.append(end - start)
        return real(path, start, end, tag)

    storage.read_range = counted  # type: ignore[method-assign]
    with ParquetSource(storage, "memory://encrypted/f") as source:
        assert source.stored_bytes(0, ["id"]) > 0
    assert len(reads) == 1
    with ParquetSource(storage, "memory://encrypted/g") as source, pytest.raises(DataError, match="'id' is encrypted"):
        source.stored_bytes(0, ["id"])

"""S3 stores that are not there, refuse, are busy, hang up or lose answers: what is said, and what is mended."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest
from botocore.loaders import JSONFileLoader
from tests.storage.s3_server import BUCKET, ENVIRONMENT, Answer, failing, s3_error, s3_server

from shuffle_protocol.errors import AccessDenied, DataError, InputNotFound, InvalidSpec, OutOfDisk, StorageUnavailable
from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage import remote, retry, s3
from shuffle_worker.storage.retry import RetryPolicy
from shuffle_worker.storage.s3 import S3Storage

FOLDER = f"s3://{BUCKET}/folder"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials, pauses that tests can wait for, and tries bounded by their number alone: seconds are tested on a
    clock of its own (test_retries), and here they would be the machine's."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "STEADY", RetryPolicy(tries=4, seconds=600, base=0.01))
    monkeypatch.setattr(remote, "FIRST", RetryPolicy(tries=3, seconds=600, base=0.01))


class Fault:
    """Answers the first `times` requests of a method (whose path holds `part`) in its own way."""

    def __init__(self, method: str, status: int, body: bytes = b"", times: int = 10**9, part: str = "") -> None:
        self.method, self.status, self.body, self.times, self.part = method, status, body, times, part
        self.met = 0

    def __call__(self, method: str, path: str) -> tuple[int, bytes] | None:
        if method != self.method or self.part not in path or self.met >= self.times:
            return None
        self.met += 1
        return self.status, self.body


def test_a_bucket_that_does_not_exist(address: str) -> None:
    storage = S3Storage(StorageOptions(endpoint=address))
    for call in (storage.find, storage.listing):
        with pytest.raises(InputNotFound, match=f"there is no bucket 'no-such-bucket' at {address}"):
            call("s3://no-such-bucket/x")  # type: ignore[operator]


def test_a_name_that_no_bucket_can_have(address: str) -> None:
    with pytest.raises(InvalidSpec, match="no address that S3 accepts"):
        S3Storage(StorageOptions(endpoint=address)).listing("s3://Bad_Name!/x")
    with pytest.raises(InvalidSpec, match="no bucket"):
        S3Storage(StorageOptions(endpoint=address)).listing("s3:///x")


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_credentials_that_are_wrong(address: str, code: str) -> None:
    def answer(method: str, path: str) -> tuple[int, bytes]:
        return 403, s3_error(code)

    with failing(address, answer) as wrong:
        storage = S3Storage(StorageOptions(endpoint=wrong))
        with pytest.raises(AccessDenied, match=f"does not accept the credentials .{code}.") as refused:
            storage.find(f"{FOLDER}/file")
        assert FOLDER in refused.value.message


def test_credentials_without_the_right(address: str) -> None:
    with failing(address, Fault("PUT", 403, s3_error("AccessDenied"))) as wrong:
        storage = S3Storage(StorageOptions(endpoint=wrong))
        with pytest.raises(AccessDenied, match="no right"):
            storage.put(f"{FOLDER}/file", b"x")


def test_no_credentials(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(AccessDenied, match="no credentials were found: set AWS_ACCESS_KEY_ID"):
        S3Storage(StorageOptions(endpoint=address)).find(FOLDER)


def test_a_profile_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(AccessDenied, match=r"no credentials: .*\(nobodys\) could not be found"):
        S3Storage(StorageOptions(endpoint=address, options={"profile": "nobodys"})).find(FOLDER)


def test_descriptions_of_services_are_read_once_in_a_process(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = JSONFileLoader.load_file
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda self, path: (read.append(path), plain(self, path))[1])
    s3._loader.cache_clear()
    for _ in range(2):
        S3Storage(StorageOptions(endpoint=address)).put(f"{FOLDER}/file", b"x")
    found = [path for path in read if "/s3/" in path.replace(os.sep, "/")]
    assert found
    assert len(found) == len(set(found))


def test_an_endpoint_where_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(StorageUnavailable, match=f"{address} does not answer") as refused:
            S3Storage(StorageOptions(endpoint=address)).find(FOLDER)
        assert "3 tries" in refused.value.message


def test_an_endpoint_that_accepts_and_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried for minutes: what took longer than the seconds of the policy is not tried again."""
    assert s3.FIRST_ANSWER + retry.FIRST.cap <= 20
    monkeypatch.setattr(s3, "FIRST_ANSWER", 0.5)
    monkeypatch.setattr(remote, "FIRST", RetryPolicy(tries=3, seconds=0.2))
    held: list[socket.socket] = []
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        threading.Thread(target=hold, args=(silent, held), daemon=True).start()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StorageUnavailable, match=r"does not answer: no answer in time.* \(1 tries\)"):
            S3Storage(StorageOptions(endpoint=address)).find(FOLDER)
        silent.shutdown(socket.SHUT_RDWR)
    assert len(held) <= 1
    for connection in held:
        connection.close()


def hold(listening: socket.socket, held: list[socket.socket]) -> None:
    """Accept until the socket is shut, and say nothing."""
    with contextlib.suppress(OSError):
        while True:
            held.append(listening.accept()[0])


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, s3_error("SlowDown")), (503, b""), (500, s3_error("InternalError")), (429, b""), (502, b"<html>"), (0, b"")],
)
def test_an_outage_is_waited_out(address: str, status: int, body: bytes) -> None:
    fault: Answer = Fault("GET", status, body, times=2)
    S3Storage(StorageOptions(endpoint=address)).put(f"{FOLDER}/file", b"content")
    with failing(address, fault) as stormy:
        storage = S3Storage(StorageOptions(endpoint=stormy))
        assert storage.info(f"{FOLDER}/file").size == 7  # it has answered once
        assert storage.read(f"{FOLDER}/file") == b"content"


def test_an_outage_that_stays_is_said(address: str) -> None:
    with failing(address, Fault("GET", 503, s3_error("SlowDown", "Please reduce your request rate."))) as stormy:
        storage = S3Storage(StorageOptions(endpoint=stormy))
        with pytest.raises(StorageUnavailable, match=r"busy or failing \(SlowDown\).*\(4 tries\)"):
            storage.read(f"{FOLDER}/file")


def test_a_lost_part_is_sent_again(address: str) -> None:
    with failing(address, Fault("PUT", 503, s3_error("SlowDown"), times=2, part="partNumber=2")) as stormy:
        storage = S3Storage(StorageOptions(endpoint=stormy))
        sink = storage.create(f"{FOLDER}/parts")
        data = bytes(range(256)) * 4096
        for _ in range(20):
            sink.write(data)
        sink.commit()
        assert storage.read(f"{FOLDER}/parts") == data * 20
        storage.remove([f"{FOLDER}/parts"])


def test_an_answer_lost_after_the_upload_was_completed(address: str) -> None:
    """The upload is completed, the answer is lost: the second try finds no upload, but the file is there."""
    plain = S3Storage(StorageOptions(endpoint=address))
    done = False

    def answer(method: str, path: str) -> tuple[int, bytes] | None:
        nonlocal done
        if method != "POST" or "uploadId=" not in path:
            return None
        if not done:
            done = True
            parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in sink._done]  # type: ignore[attr-defined]
            plain.call(
                f"{FOLDER}/lost",
                "writing",
                "complete_multipart_upload",
                Bucket=BUCKET,
                Key="folder/lost",
                UploadId=sink._upload,  # type: ignore[attr-defined]
                MultipartUpload={"Parts": parts},
            )
            return 0, b""
        return 404, s3_error("NoSuchUpload")

    with failing(address, answer) as stormy:
        storage = S3Storage(StorageOptions(endpoint=stormy))
        sink = storage.create(f"{FOLDER}/lost")
        for _ in range(10):
            sink.write(bytes(1 << 20))
        sink.commit()
        assert storage.info(f"{FOLDER}/lost").size == 10 << 20
    plain.remove([f"{FOLDER}/lost"])


def test_a_write_that_fails_for_good_leaves_no_upload(address: str) -> None:
    with failing(address, Fault("PUT", 403, s3_error("AccessDenied"), part="partNumber=")) as wrong:
        storage = S3Storage(StorageOptions(endpoint=wrong))
        sink = storage.create(f"{FOLDER}/never")
        with pytest.raises(AccessDenied):
            for _ in range(30):
                sink.write(bytes(1 << 20))
        uploads = storage.call(FOLDER, "listing", "list_multipart_uploads", Bucket=BUCKET)
        assert not uploads.get("Uploads")
        sink.commit()  # over: it does nothing
    with pytest.raises(InputNotFound):
        S3Storage(StorageOptions(endpoint=address)).info(f"{FOLDER}/never")


def test_a_full_store(address: str) -> None:
    fault = Fault("PUT", 507, s3_error("XMinioStorageFull", "no space"))
    with failing(address, fault) as full, pytest.raises(OutOfDisk, match="no room left"):
        S3Storage(StorageOptions(endpoint=full)).put(f"{FOLDER}/file", b"x")


def test_a_file_replaced_while_it_is_read(address: str) -> None:
    storage = S3Storage(StorageOptions(endpoint=address))
    storage.put(f"{FOLDER}/changing", b"one" * 1000)
    with storage.open(f"{FOLDER}/changing") as file:
        assert file.read(3) == b"one"
        storage.put(f"{FOLDER}/changing", b"two" * 1000)
        with pytest.raises(DataError, match="changed while the job ran"):
            file.read(3)


def test_a_bucket_in_another_region(address: str) -> None:
    fault = Fault("GET", 301, s3_error("PermanentRedirect"))
    with failing(address, fault) as other, pytest.raises(InvalidSpec, match="another region"):
        S3Storage(StorageOptions(endpoint=other)).listing(FOLDER)

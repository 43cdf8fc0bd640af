"""Writes a file to S3: a small one in one request, a large one in a multipart upload that `commit` completes.

Memory: three times `PART` bytes, or `LEAST_PART` in a small worker: one part is filled, and one is under way and copied
while the socket takes it. Parts grow where there would be too many.
"""

from __future__ import annotations

from typing import Any, Protocol

from shuffle_protocol.errors import JobError
from shuffle_worker.runtime.pressure import limit
from shuffle_worker.storage.hashing import HashingSink
from shuffle_worker.storage.storage import Info

PART = 8 << 20
LEAST_PART = 5 << 20
"""The smallest part that S3 takes, but for a file's last one."""
SMALL = 512 << 20
"""A worker with less memory than this uses the smallest parts."""
GROW_EVERY = 1000
"""After so many parts the next ones are twice as large. S3 allows 10,000 parts, so a file may have more than 2 TiB."""


class Requests(Protocol):
    """The requests that a sink makes; `storage/s3.py` implements them."""

    def call(self, path: str, doing: str, method: str, **parameters: Any) -> dict[str, Any]:
        """One request, with retries."""
        ...

    def start(self, method: str, **parameters: Any) -> Any:
        """One request in the background, without retries. Returns a future."""
        ...

    def info(self, path: str) -> Info: ...

    def abort_upload(self, path: str, upload: str) -> None: ...


class S3Sink(HashingSink):
    def __init__(self, storage: Requests, path: str) -> None:
        super().__init__(path)
        self._storage = storage
        bucket, _, key = path.partition("://")[2].partition("/")
        self._where = {"Bucket": bucket, "Key": key}
        self._buffer = bytearray()
        self._part = LEAST_PART if 0 < limit() < SMALL else PART
        self._upload: str | None = None
        self._done: list[dict[str, Any]] = []
        self._under_way: tuple[int, bytes, Any] | None = None

    def _write(self, data: memoryview) -> None:
        self._buffer += data
        try:
            while len(self._buffer) >= self._part:
                self._settle()  # first, so that there is no third part
                part = bytes(memoryview(self._buffer)[: self._part])
                del self._buffer[: self._part]
                self._send(part)
        except BaseException:
            self._abandon()
            raise

    def commit(self) -> None:
        if self._over:
            return
        try:
            if self._upload is None:
                self._storage.call(self.path, "writing", "put_object", Body=bytes(self._buffer), **self._where)
            else:
                if self._buffer:
                    self._send(bytes(self._buffer))
                self._settle()
                self._complete(self._upload)
        except BaseException:
            self._abandon()
            raise
        self._buffer.clear()
        self._over = True

    def abort(self) -> None:
        if self._over:
            return
        self._over = True
        self._buffer.clear()
        if self._under_way is not None:
            self._under_way[2].cancel()
            self._under_way = None
        if self._upload is not None:
            self._storage.abort_upload(self.path, self._upload)

    def _send(self, part: bytes) -> None:
        if self._upload is None:
            made = self._storage.call(self.path, "writing", "create_multipart_upload", **self._where)
            self._upload = str(made["UploadId"])
        self._settle()
        number = len(self._done) + 1
        where = {**self._where, "UploadId": self._upload, "PartNumber": number}
        self._under_way = (number, part, self._storage.start("upload_part", Body=part, **where))
        if number % GROW_EVERY == 0:
            self._part *= 2

    def _settle(self) -> None:
        """Wait for the part under way. If it failed, send it again, with retries."""
        if self._under_way is None:
            return
        number, part, future = self._under_way
        try:
            answer = future.result()
        except Exception:
            where = {**self._where, "UploadId": self._upload, "PartNumber": number}
            answer = self._storage.call(self.path, "writing", "upload_part", Body=part, **where)
        self._under_way = None
        self._done.append({"PartNumber": number, "ETag": answer["ETag"]})

    def _complete(self, upload: str) -> None:
        parts = {"Parts": self._done}
        try:
            self._storage.call(
                self.path, "writing", "complete_multipart_upload", UploadId=upload, MultipartUpload=parts, **self._where
            )
        except JobError as error:
            # the answer to an earlier try was lost: the upload is gone because it is complete
            try:
                there = self._storage.info(self.path)
            except JobError:
                raise error from None
            if there.size != self._size or not there.tag.endswith(f"-{len(self._done)}"):
                raise error from None

    def _abandon(self) -> None:
        """Abort after an error. Its own errors are dropped, so that the caller sees the first one."""
        try:
            self.abort()
        except JobError:
            return  # `sweep` will find it

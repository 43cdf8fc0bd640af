"""S3 and the stores that speak its protocol (MinIO, Ceph, R2, ...). s3fs gives credentials, regions and the event loop.

Each request is a `call` of our own. So one policy retries all of them (the retries of s3fs and botocore are off), their
error codes are known, and a store that does not answer is reported within seconds. Credentials come from the
environment, as with every AWS tool. Newer checksums are sent only where required, because older stores do not know
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

import s3fs  # type: ignore[import-untyped]
from aiobotocore.session import AioSession  # type: ignore[import-untyped]
from botocore.loaders import Loader, create_loader  # type: ignore[import-untyped]
from fsspec.asyn import sync  # type: ignore[import-untyped]

from shuffle_protocol.errors import AccessDenied, InvalidSpec
from shuffle_protocol.jobs import StorageOptions
from shuffle_worker.storage.failures import said
from shuffle_worker.storage.remote import RANGE, FsspecStorage
from shuffle_worker.storage.retry import retried
from shuffle_worker.storage.s3_errors import MissingKey, code_of, translated
from shuffle_worker.storage.s3_settings import client_options
from shuffle_worker.storage.s3_sink import S3Sink
from shuffle_worker.storage.storage import Info, Range, Sink

T = TypeVar("T")

FIRST_ANSWER = 8.0
"""Seconds within which a store that has never answered must answer its first request."""

DELETES = 32
"""Deletions that run at once."""

PAGE = 1000
"""Files in a page of a listing: the most that S3 returns."""

NAMES = 100
"""How many names in a folder are looked at to recognise a table."""

RANGES = 32
"""Ranges of many files that are read at once."""

PIECES = 4
"""Ranges of one large read that are read at once."""


class S3Storage(FsspecStorage):
    """`s3://bucket/key`. One instance serves all threads of a worker; its requests run on s3fs's event loop."""

    def __init__(self, settings: StorageOptions) -> None:
        super().__init__("s3", settings)
        self._options = client_options(settings)

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        bucket, key = split(self._canonical(path))
        return self._request(path, "reading", lambda fs: _get(fs, Bucket=bucket, Key=key))

    def fetch(self, path: str) -> tuple[bytes, str]:
        bucket, key = split(self._canonical(path))
        data, etag = self._request(path, "reading", lambda fs: _get_tagged(fs, Bucket=bucket, Key=key))
        return data, _info(path, len(data), etag).tag

    def read_range(self, path: str, start: int, end: int, tag: str = "") -> bytes:
        bucket, key = split(path)
        etag = tag.split("-", 1)[1] if "-" in tag else ""
        match = {"IfMatch": f'"{etag}"'} if etag else {}

        async def fetch(fs: Any) -> bytes:
            gate = asyncio.Semaphore(PIECES)

            async def one(at: int) -> bytes:
                async with gate:
                    last = min(at + RANGE, end) - 1
                    return await _get(fs, Bucket=bucket, Key=key, Range=f"bytes={at}-{last}", **match)

            return b"".join(await asyncio.gather(*(one(at) for at in range(start, end, RANGE))))

        return self._request(path, "reading", fetch)

    def _read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        async def fetch(fs: Any) -> list[bytes]:
            gate = asyncio.Semaphore(RANGES)

            async def one(of: Range) -> bytes:
                bucket, key = split(self._canonical(of.path))
                async with gate:
                    return await _get(fs, Bucket=bucket, Key=key, Range=f"bytes={of.start}-{of.end - 1}")

            return await asyncio.gather(*(one(of) for of in ranges))

        return self._request(ranges[0].path, "reading", fetch)

    # -- writing -----------------------------------------------------------------------------------------------------

    def create(self, path: str) -> Sink:
        return S3Sink(self, self._canonical(path))

    def put(self, path: str, data: bytes) -> None:
        bucket, key = split(self._canonical(path))
        self.call(path, "writing", "put_object", Bucket=bucket, Key=key, Body=data)

    def remove(self, paths: list[str]) -> None:
        if not paths:
            return
        places = [split(self._canonical(path)) for path in paths]

        async def delete(fs: Any) -> None:
            gate = asyncio.Semaphore(DELETES)

            async def one(bucket: str, key: str) -> None:
                async with gate:
                    await fs._call_s3("delete_object", Bucket=bucket, Key=key)

            await asyncio.gather(*(one(*place) for place in places))

        self._request(paths[0], "removing", delete)

    def sweep(self, folder: str) -> None:
        """Abort the uploads in progress below a folder."""
        folder = self._canonical(folder)
        bucket, prefix = split(folder.rstrip("/") + "/")
        for key, upload in self._uploads(folder, bucket, prefix):
            self.abort_upload(f"s3://{bucket}/{key}", upload)

    def abort_upload(self, path: str, upload: str) -> None:
        bucket, key = split(path)
        try:
            self.call(path, "discarding", "abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload)
        except MissingKey:
            return

    # -- requests ----------------------------------------------------------------------------------------------------

    def call(self, path: str, doing: str, method: str, **parameters: Any) -> dict[str, Any]:
        """One S3 request, with retries."""
        return self._request(path, doing, lambda fs: fs._call_s3(method, **parameters))

    def start(self, method: str, **parameters: Any) -> Any:
        """One S3 request in the background, without retries. Returns a future."""
        fs = self._fs()
        return asyncio.run_coroutine_threadsafe(fs._call_s3(method, **parameters), fs.loop)

    def _request(self, path: str, doing: str, make: Callable[[Any], Awaitable[T]]) -> T:
        def once() -> T:
            fs = self._fs()
            try:
                limit = None if self._answered else FIRST_ANSWER
                answer: T = sync(fs.loop, make, fs, timeout=limit)
            except Exception as error:
                if code_of(error):
                    self._answered = True
                raise self._translate(path, doing, error) from error
            self._answered = True
            return answer

        return retried(once, self._policy)

    def _translate(self, path: str, doing: str, error: Exception) -> Exception:
        return translated(path, doing, error, self._endpoint())

    def _connect(self) -> Any:
        options = dict(self._options)
        session = _session(options.pop("profile", None))
        try:
            fs = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False, session=session, **options)
        except (TypeError, ValueError) as error:
            raise InvalidSpec(f"storage.options: do not fit s3: {said(error)}") from error
        fs.retries = 1  # only ours
        return fs

    def _endpoint(self) -> str:
        return self.settings.endpoint or "the S3 endpoint"

    def _file(self, path: str) -> Info | None:
        bucket, key = split(path)
        if not key or key.endswith("/"):
            return None
        try:
            found = self.call(path, "reading", "head_object", Bucket=bucket, Key=key)
        except MissingKey:
            return None
        except AccessDenied:
            # a refused HEAD has no body, so a listing must show the reason, or that only this key is refused
            self.call(path, "listing", "list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
            raise
        return _info(path, int(found["ContentLength"]), str(found.get("ETag", "")))

    def _below(self, folder: str) -> list[Info]:
        bucket, key = split(f"{folder}/")
        prefix = "" if key in ("", "/") else key
        out: list[Info] = []
        after: dict[str, str] = {}
        while True:
            page = self.call(folder, "listing", "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=PAGE, **after)
            for entry in page.get("Contents") or ():
                if not entry["Key"].endswith("/"):
                    name = f"s3://{bucket}/{entry['Key']}"
                    out.append(_info(name, int(entry["Size"]), str(entry.get("ETag", ""))))
            if not page.get("IsTruncated"):
                return sorted(out)
            after = {"ContinuationToken": page["NextContinuationToken"]}

    def _names(self, folder: str) -> list[str]:
        bucket, key = split(folder)
        out: list[str] = []
        for prefix in (key, f"{key}v"):  # `metadata/v7.metadata.json` and version hints come behind many other names
            page = self.call(folder, "listing", "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=NAMES)
            out += [str(entry["Key"])[len(key) :] for entry in page.get("Contents") or ()]
            if not page.get("IsTruncated"):
                return out
        return out

    def _uploads(self, folder: str, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
        after: dict[str, str] = {}
        while True:
            page = self.call(folder, "listing", "list_multipart_uploads", Bucket=bucket, Prefix=prefix, **after)
            for upload in page.get("Uploads") or ():
                yield upload["Key"], upload["UploadId"]
            if not page.get("IsTruncated"):
                return
            after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def _session(profile: str | None) -> AioSession:
    """The session that s3fs would make, but cheaper: a process reads botocore's descriptions of services once."""
    session = AioSession(profile=profile)
    session.lazy_register_component("data_loader", lambda: _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    """Reads and caches botocore's descriptions of services. All clients may share it, as those of one session do."""
    return create_loader(data_path)


def split(path: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`."""
    bucket, _, key = path.partition("://")[2].partition("/")
    if not bucket:
        raise InvalidSpec(f"{path}: has no bucket; write s3://bucket/folder/")
    return bucket, key


async def _get(fs: Any, **parameters: str) -> bytes:
    return (await _get_tagged(fs, **parameters))[0]


async def _get_tagged(fs: Any, **parameters: str) -> tuple[bytes, str]:
    """An object's bytes and its ETag."""
    answer = await fs._call_s3("get_object", **parameters)
    body = answer["Body"]
    try:
        return bytes(await body.read()), str(answer.get("ETag", ""))
    finally:
        body.close()


def _info(path: str, size: int, etag: str) -> Info:
    return Info(path, size, f"{size}-{etag.strip(chr(34))}")

"""Files that are compressed as a whole: which codec a name stands for, and the bytes inside, as a stream.

Called for CSV and JSON; the other formats compress inside of themselves.
"""

from __future__ import annotations

import io
from typing import cast

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_protocol.formats import STREAM_SUFFIXES as SUFFIXES
from shuffle_worker.storage.storage import Storage

MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bz2": b"BZh",
    "lz4": b"\x04\x22\x4d\x18",
}
"""How files begin; brotli has no mark."""

OTHERS = {b"PAR1": "Parquet", b"ARROW1": "Feather", b"ORC": "ORC", b"PK\x03\x04": "a zip archive", b"FEA1": "Feather"}

BUFFER = 4 << 20
"""Bytes of one request to a remote store."""


def codec_of(path: str) -> str | None:
    """The codec, by the name's last suffix."""
    name = path.rsplit("/", 1)[-1].lower()
    return next((codec for suffix, codec in SUFFIXES.items() if name.endswith(suffix)), None)


def plain_name(path: str) -> str:
    """The path without the suffix of a codec: events.csv.gz is named like events.csv."""
    return next((path[: -len(suffix)] for suffix in SUFFIXES if path.lower().endswith(suffix)), path)


def check_beginning(path: str, codec: str | None, head: bytes, what: str) -> None:
    """Raises DataError where a file's first bytes are of something else than its name says. what: CSV, JSON."""
    if not head:
        return
    found = next((one for one, magic in MAGIC.items() if head.startswith(magic)), None)
    if codec is None and found is not None:
        suffix = next(suffix for suffix, one in SUFFIXES.items() if one == found)
        raise DataError(
            f"{path}: begins as a file compressed with {found}, but is not named so; rename it to ...{suffix}"
        )
    if codec is not None and codec in MAGIC and found != codec:
        raise DataError(
            f"{path}: is named as if compressed with {codec}, but does not begin so ({head[:4]!r}); "
            "rename it, or leave it out of `path`"
        )
    if codec is None:
        other = next((name for magic, name in OTHERS.items() if head.startswith(magic)), None)
        if other is not None:
            raise DataError(
                f"{path}: not {what}: it begins as {other}; leave it out of `path`, or set `format` to what it is"
            )


class ByteStream:
    """The bytes of a file, in pieces as they are asked for; decompressed where it is compressed.

    Of a remote file that is not compressed each read is one request for just these bytes. Memory: for a compressed
    remote file one buffer of `BUFFER` bytes, and the codec's own window."""

    def __init__(self, storage: Storage, path: str, codec: str | None) -> None:
        self.path = path
        self._codec = codec
        native = storage.native(path)
        if native is not None:
            self._stored: pa.NativeFile = pa.OSFile(native, "rb")
        else:
            raw = cast("io.RawIOBase", storage.open(path))
            file = raw if codec is None else io.BufferedReader(raw, BUFFER)
            self._stored = pa.PythonFile(cast("io.IOBase", file), mode="r")
        self._stream = self._stored if codec is None else pa.CompressedInputStream(self._stored, codec)  # type: ignore[arg-type]

    def read(self, size: int) -> bytes:
        """As many bytes as asked for, fewer only at the end."""
        try:
            parts: list[bytes] = []
            while size > 0:
                part = self._stream.read(size)
                if not part:
                    break
                parts.append(part)
                size -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        except (OSError, pa.ArrowException) as error:
            if self._codec is None or (isinstance(error, OSError) and error.errno is not None):
                raise
            raise DataError(
                f"{self.path}: cannot be decompressed ({self._codec}): {' '.join(str(error).split())}; "
                "it is damaged or cut off, copy or write it again"
            ) from error

    def seek(self, at: int) -> None:
        """Of a file that is not compressed."""
        self._stored.seek(at)

    def stored(self) -> int:
        """Stored bytes that were taken from the file so far."""
        return int(self._stored.tell())

    def close(self) -> None:
        if self._stream is not self._stored:
            self._stream.close()
        self._stored.close()

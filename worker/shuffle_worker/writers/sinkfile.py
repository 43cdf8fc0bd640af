"""A sink as the file object that Arrow's encoders write to. Used by every format."""

from __future__ import annotations

import contextlib
import io
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from shuffle_worker.columns.arrow import Array
from shuffle_worker.storage import Sink


class SinkFile(io.RawIOBase):
    """Closing it leaves the sink open. discard: from now on nothing reaches the sink, because an encoder writes a
    footer even when it is only let go of."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink
        self._at = 0
        self.discard = False

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        length = len(data)
        if not self.discard:
            self._sink.write(data)
        self._at += length
        return length

    def tell(self) -> int:
        return self._at


class Encoder(Protocol):
    """One of Arrow's writers."""

    def close(self) -> None: ...


E = TypeVar("E", bound=Encoder)


class EncodedFile(Generic[E]):
    """The end of a `FileWriter` whose bytes an encoder of Arrow's makes, which writes to `_handle`."""

    _writer: E

    def __init__(self, sink: Sink) -> None:
        self._file = SinkFile(sink)
        self._handle = pa.PythonFile(self._file, mode="w")

    def close(self) -> None:
        self._writer.close()
        self._handle.close()

    def abort(self) -> None:
        self._file.discard = True
        with contextlib.suppress(pa.ArrowException, OSError, ValueError):
            self._writer.close()


STREAMS = {"Gzip": "gzip", "Zstd": "zstd", "Lz4": "lz4", "Brotli": "brotli"}
"""API name -> Arrow's name of the codec of a whole file."""


class TextStream:
    """Bytes of text on their way to a sink, compressed or not."""

    def __init__(self, sink: Sink, compression: str | None) -> None:
        self._file = SinkFile(sink)
        self._handle = pa.PythonFile(self._file, mode="w")
        codec = STREAMS.get(compression or "None")
        self.stream: pa.NativeFile = self._handle if codec is None else _compressed(self._handle, codec)

    def close(self) -> None:
        if self.stream is not self._handle:
            self.stream.close()
        self._handle.close()

    def discard(self) -> None:
        self._file.discard = True


def data_of(text: Array) -> pa.Buffer:
    """The texts of a whole column without nulls, one after the other."""
    data = text.buffers()[2]
    assert data is not None
    return data


def _compressed(handle: pa.NativeFile, codec: str) -> pa.NativeFile:
    return pa.CompressedOutputStream(handle, codec)  # type: ignore[arg-type]

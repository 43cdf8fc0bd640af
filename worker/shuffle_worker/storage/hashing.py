"""The half of a sink that every store shares: it counts bytes, hashes them, and looks like a file to writers."""

from __future__ import annotations

import xxhash


class HashingSink:
    """Counts and hashes bytes, then passes them to `_write`. Has the methods that `pyarrow.PythonFile` calls (`tell`,
    `flush`, `closed`, `close`); closing is not committing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._hash = xxhash.xxh3_64()
        self._size = 0
        self._over = False

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self._size += len(view)
        self._write(view)
        return len(view)

    def _write(self, data: memoryview) -> None:
        raise NotImplementedError

    @property
    def size(self) -> int:
        return self._size

    @property
    def checksum(self) -> str:
        return self._hash.hexdigest()

    @property
    def closed(self) -> bool:
        return self._over

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing to do: a file is visible only after `commit`."""

    def close(self) -> None:
        """Nothing to do: see `commit` and `abort`."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

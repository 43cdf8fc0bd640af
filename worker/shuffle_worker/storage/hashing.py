"""The half of a sink that every store shares: counting, checksum, and looking like a file to those that write."""

from __future__ import annotations

import xxhash


class HashingSink:
    """Counts and hashes what is written, then hands it to `_write`. Also has what `pyarrow.PythonFile` asks of a file
    (`tell`, `flush`, `closed`, `close`); closing is not committing."""

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
        """Nothing: what is written is seen at commit, all at once."""

    def close(self) -> None:
        """Nothing: see `commit` and `abort`."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

"""The checksum that goes with every shard from the worker that made it to the one that writes it: xxh3-64.

Computed once, by the operation that serialised the shard, over its buffers one after the other; verified by the
receiver of a frame, and by the store on every read.
"""

from __future__ import annotations

from collections.abc import Iterable

import xxhash


def checksum(buffers: Iterable[bytes | bytearray | memoryview]) -> int:
    """xxh3-64 of the buffers' bytes, one after the other."""
    digest = xxhash.xxh3_64()
    for buffer in buffers:
        digest.update(buffer)
    return digest.intdigest()

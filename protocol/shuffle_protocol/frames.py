"""The wire format of shards: what a worker sends a peer, some shards of one transfer attempt, with all that the
receiver needs to place them.

    prefix     64 bytes, fixed: magic, version, sizes, header checksum, numbers (see `_PREFIX`)
    names      job uid, sender's incarnation (UTF-8)
    index      one entry of 24 bytes a shard (see `INDEX`)
    payload    the shards' bytes back to back, in the order of the index

Everything is little-endian. The header (all but the payload) carries its own xxh3-64; each shard's bytes are covered by
the shard's own checksum, made by the sender's operation and kept by the store, so nothing is summed twice.

Senders call `encode`; receivers collect bytes and call `decode_prefix` (which says how many bytes there must be, and
refuses absurd numbers before anything is allocated for them), then `decode_header`. Whatever bytes come in, the outcome
is a header or a `FrameError` that says what was wrong. No network in here: `transfer` moves the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from shuffle_protocol.checksum import checksum
from shuffle_protocol.messages import VERSION, Attempt
from shuffle_protocol.shards import NUMBERS, Buffer, Shard

MAGIC = b"SHFL"

MAX_PAYLOAD = 1 << 30
"""Bytes of shards in one frame. Senders aim at 4 to 16 MiB; the limit is what one enormous shard may need."""

MAX_SHARDS = 1 << 20
"""Index entries of one frame: 24 MiB of header at most."""

MAX_UID = 64
"""Bytes of a job's uid."""

MAX_INCARNATION = 40
"""Bytes of a worker's incarnation: a pod's uid without dashes, and which of the pod's workers it is."""

INDEX = np.dtype([("bucket", "<u4"), *NUMBERS])
"""One shard in a frame's index. length: bytes of its payload; checksum: xxh3-64 of them."""

Index = npt.NDArray[np.void]

_PREFIX = struct.Struct(
    "<"
    "4s"  # magic
    "H"  # protocol version
    "B"  # bytes of the job uid
    "B"  # bytes of the incarnation
    "Q"  # xxh3-64 of the whole header with this field zero
    "I"  # bytes of the header: prefix, names and index
    "I"  # entries of the index
    "Q"  # bytes of the payload
    "q"  # epoch of the sender's view; -1: none
    "I"  # sender: worker index
    "I"  # attempt: tranche
    "I"  # attempt: split
    "I"  # attempt: attempt
    "Q"  # frame number
)
PREFIX_SIZE = _PREFIX.size
"""Bytes after which `decode_prefix` can tell how long the header and the payload are."""

_CHECKSUM_AT = 8
MAX_HEADER = PREFIX_SIZE + MAX_UID + MAX_INCARNATION + MAX_SHARDS * INDEX.itemsize
"""Bytes of the longest header."""


class FrameError(Exception):
    """Bytes that are no frame of this protocol; the message says what was wrong with them."""


class Frame(NamedTuple):
    """A frame to be sent."""

    job: str
    epoch: int
    sender: int
    incarnation: str
    attempt: Attempt
    number: int
    """Rises by one with every frame of an attempt to the same receiver, from 0, so that a receiver tells a repeated
    frame from a new one."""
    shards: Sequence[Shard]


class FrameHeader(NamedTuple):
    """A frame that is being received, without its payload."""

    job: str
    epoch: int
    sender: int
    incarnation: str
    attempt: Attempt
    number: int
    entries: Index
    """An array of `INDEX`, read-only."""
    payload: int
    """Its bytes, the sum of the entries' lengths."""

    def shards(self, payload: memoryview) -> list[Shard]:
        """The shards, their payloads slices of `payload` (not copied)."""
        if payload.nbytes != self.payload:
            raise ValueError(f"a payload of {payload.nbytes} bytes where the header says {self.payload}")
        found: list[Shard] = []
        at = 0
        for bucket, sequence, rows, length, digest in self.entries.tolist():
            found.append(Shard(bucket, sequence, rows, digest, [payload[at : at + length]], length))
            at += length
        return found


class Prefix(NamedTuple):
    """The sizes that the first `PREFIX_SIZE` bytes state."""

    header: int
    payload: int


class Encoded(NamedTuple):
    """A frame as bytes: the header, then the buffers one after the other."""

    header: bytes
    buffers: list[Buffer]
    length: int
    """Bytes of all together."""


def first_corrupt(shards: Sequence[Shard]) -> int | None:
    """The position of the first shard whose bytes do not match its checksum. Computing: not for the event loop."""
    for at, shard in enumerate(shards):
        if checksum(shard.payload) != shard.checksum:
            return at
    return None


def encode(frame: Frame) -> Encoded:
    """Raises FrameError where the frame breaks a limit of the protocol (then sending it could never work)."""
    buffers: list[Buffer] = []
    payload = 0
    for shard in frame.shards:
        held = sum(memoryview(buffer).nbytes for buffer in shard.payload)
        if held != shard.length:
            raise FrameError(f"a shard of bucket {shard.bucket} says {shard.length} bytes and has {held}")
        buffers += shard.payload
        payload += held
    if payload > MAX_PAYLOAD:
        raise FrameError(f"{payload} bytes of shards in one frame, and {MAX_PAYLOAD} is the most")
    if len(frame.shards) > MAX_SHARDS:
        raise FrameError(f"{len(frame.shards)} shards in one frame, and {MAX_SHARDS} is the most")
    uid, incarnation = frame.job.encode(), frame.incarnation.encode()
    if len(uid) > MAX_UID or len(incarnation) > MAX_INCARNATION:
        raise FrameError(f"a job uid takes {MAX_UID} bytes and an incarnation {MAX_INCARNATION} at the most")
    try:
        index = np.array([(s.bucket, s.sequence, s.rows, s.length, s.checksum) for s in frame.shards], dtype=INDEX)
        size = PREFIX_SIZE + len(uid) + len(incarnation) + index.nbytes
        attempt = frame.attempt
        sizes = (len(uid), len(incarnation), 0, size, len(index), payload)
        numbers = (frame.epoch, frame.sender, attempt.tranche, attempt.split, attempt.attempt, frame.number)
        header = bytearray(_PREFIX.pack(MAGIC, VERSION, *sizes, *numbers))
    except (struct.error, OverflowError) as error:
        raise FrameError(f"a number does not fit in a frame: {error}") from None
    header += uid
    header += incarnation
    header += index.tobytes()
    struct.pack_into("<Q", header, _CHECKSUM_AT, xxhash.xxh3_64_intdigest(header))
    return Encoded(bytes(header), buffers, size + payload)


def decode_prefix(data: bytes | bytearray | memoryview) -> Prefix:
    """data: at least `PREFIX_SIZE` bytes. What it answers is within the limits, and consistent in itself."""
    _, prefix = _prefix(data)
    return prefix


def decode_header(data: bytes | bytearray | memoryview) -> FrameHeader:
    """data: exactly the header, as many bytes as `decode_prefix` said."""
    fields, prefix = _prefix(data)
    _, _, uid_size, incarnation_size, digest, size, count, payload, epoch, sender, *attempt, number = fields
    if len(data) != size:
        raise FrameError(f"a header of {len(data)} bytes that says {size}")
    header = bytearray(data)  # writable: the sum is over the header with its own field zero
    struct.pack_into("<Q", header, _CHECKSUM_AT, 0)
    if xxhash.xxh3_64_intdigest(header) != digest:
        raise FrameError("the header does not match its checksum")
    names, at = PREFIX_SIZE, PREFIX_SIZE + uid_size + incarnation_size
    try:
        job = header[names : names + uid_size].decode()
        incarnation = header[names + uid_size : at].decode()
    except UnicodeDecodeError:
        raise FrameError("the job uid or the incarnation is not UTF-8") from None
    index: Index = np.frombuffer(bytes(header[at:]), dtype=INDEX, count=count)
    total = int(index["length"].sum(dtype=np.uint64))
    if total != payload:
        raise FrameError(f"shards of {total} bytes in a payload of {payload}")
    return FrameHeader(job, epoch, sender, incarnation, Attempt(*attempt), number, index, prefix.payload)


def _prefix(data: bytes | bytearray | memoryview) -> tuple[tuple[Any, ...], Prefix]:
    if len(data) < PREFIX_SIZE:
        raise FrameError(f"{len(data)} bytes where a frame begins with {PREFIX_SIZE}")
    fields = _PREFIX.unpack_from(data)
    magic, version, uid, incarnation, _, size, count, payload, epoch, *_ = fields
    if magic != MAGIC:
        raise FrameError(f"not a frame: it begins with {magic!r}")
    if version != VERSION:
        raise FrameError(f"a frame of protocol version {version}; this worker speaks {VERSION}")
    if uid > MAX_UID or incarnation > MAX_INCARNATION:
        raise FrameError(
            f"a job uid of {uid} bytes, an incarnation of {incarnation}; {MAX_UID} and {MAX_INCARNATION} is the most"
        )
    if count > MAX_SHARDS:
        raise FrameError(f"{count} shards in one frame, and {MAX_SHARDS} is the most")
    if payload > MAX_PAYLOAD:
        raise FrameError(f"{payload} bytes of shards in one frame, and {MAX_PAYLOAD} is the most")
    if size != PREFIX_SIZE + uid + incarnation + count * INDEX.itemsize:
        raise FrameError(f"a header of {size} bytes does not hold {count} shards and the names")
    if epoch < -1:
        raise FrameError(f"an epoch of {epoch}")
    return fields, Prefix(size, payload)

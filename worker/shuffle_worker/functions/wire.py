"""Frames between a worker and the process of a function: a kind, a head of JSON, and Arrow bytes as they are.

    kind      u8        what it is
    head      u32       bytes of JSON that follow
    body      u64       bytes that follow that

The two sides take turns, so neither waits for a reader that is itself writing. The worker sends a call, then reads
until `DONE` or `RAISED`. A function over batches asks for each (`MORE`), and the worker answers.

Blocks of arrays are sent one by one, as the bytes of their elements, and each is answered by a block.

Tables travel as record batch messages. Their schema is sent once (`SCHEMA`), and again when it changes.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa


class MessageKind(IntEnum):
    """The kind of a frame. The worker sends LOAD .. READ, the child LOADED .. RAISED, both SCHEMA, ROWS and BLOCK."""

    LOAD = 1  # which function, from where, and what it returns
    CALL = 2  # for the rows sent before: where each group ends
    STREAM = 3  # for one group whose batches are asked for
    END = 4  # of that group
    READ = 5  # a reader function: path and columns
    LOADED = 16
    MORE = 17
    DONE = 18
    RAISED = 19
    SCHEMA = 32
    ROWS = 33
    BLOCK = 34  # of an array, and what the function returned for it


_KINDS = frozenset(MessageKind)

HEAD = struct.Struct("<BxxxIQ")

MOST_HEAD = 64 << 20
"""The most bytes of a frame's JSON, which names a function, its places and columns, or is an error of a few lines."""

MOST_BODY = 1 << 40
"""The most bytes of a frame's body: more than any machine has."""


class Garbled(Exception):
    """Bytes that are no frame. A function can write to any descriptor of its process, even to the socket."""


class Message(NamedTuple):
    kind: MessageKind
    head: bytes
    body: memoryview

    def told(self) -> dict[str, Any]:
        """The head."""
        return msgspec.json.decode(self.head, type=dict[str, Any]) if self.head else {}


class MessageSizes(NamedTuple):
    """The beginning of a frame: its kind, the bytes of its head and of its body."""

    kind: MessageKind
    head: int
    body: int


def sizes_in(data: bytes | memoryview, most_body: int = MOST_BODY) -> MessageSizes:
    """The sizes in the first `HEAD.size` bytes of a frame, before anything is allocated for it. most_body: the most
    bytes that its body may have. Raises Garbled."""
    kind, head, body = HEAD.unpack(data)
    if kind not in _KINDS:
        raise Garbled(f"a frame of the unknown kind {kind}")
    if head > MOST_HEAD:
        raise Garbled(f"a frame with a head of {head} bytes; {MOST_HEAD} is the most")
    if body > min(most_body, MOST_BODY):
        raise Garbled(f"a frame with a body of {body} bytes; {min(most_body, MOST_BODY)} is the most")
    return MessageSizes(MessageKind(kind), head, body)


def pieces(
    kind: MessageKind, head: dict[str, Any] | None = None, body: bytes | pa.Buffer | memoryview = b""
) -> list[memoryview]:
    """The buffers of a frame, to be written one behind the other. Raises Garbled if the other side would refuse it."""
    text = msgspec.json.encode(head) if head else b""
    data = memoryview(body).cast("B")
    if len(text) > MOST_HEAD:
        raise Garbled(f"a {kind.name} frame with a head of {len(text)} bytes; {MOST_HEAD} is the most")
    return [memoryview(HEAD.pack(kind, len(text), data.nbytes) + text), data]


def schema_pieces(schema: pa.Schema) -> list[memoryview]:
    return pieces(MessageKind.SCHEMA, None, schema.serialize())


def schema_in(frame: Message) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(frame.body))


def rows_pieces(batch: pa.RecordBatch) -> list[memoryview]:
    return pieces(MessageKind.ROWS, None, batch.serialize())


def rows_in(frame: Message, schema: pa.Schema) -> pa.RecordBatch:
    """The rows lie in the frame's own memory."""
    return pa.ipc.read_record_batch(pa.py_buffer(frame.body), schema)

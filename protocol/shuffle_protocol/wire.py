"""What client and server must agree on over HTTP, in one place: routes, tokens, bodies, error bodies.

Used by `transfer/http.py` on a worker's side, and by the coordinator's application on the other; no sockets in here.

    POST /v1/jobs/{job}/shards      a frame                    -> Answer         worker to worker
    POST /v1/jobs/{job}/register    Register                   -> Registered     worker to coordinator
    POST /v1/jobs/{job}/sync        Sync                       -> Orders         worker to coordinator
    GET  /v1/jobs/{job}/report                                 -> HTML           worker to coordinator
    GET  /v1/health                                            -> 200            anybody

Every call but the last carries `Authorization: Bearer <token of the job>`. Whatever is not 200 has a body
`{"error": "..."}` that says why, in a sentence.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
from msgspec import Struct

from shuffle_protocol.acks import Ack
from shuffle_protocol.errors import REASONS, Internal, JobError
from shuffle_protocol.messages import MAX_CONTROL_BODY

T = TypeVar("T")

SHARDS = "/v1/jobs/{job}/shards"
REGISTER = "/v1/jobs/{job}/register"
SYNC = "/v1/jobs/{job}/sync"
REPORT = "/v1/jobs/{job}/report"
HEALTH = "/v1/health"

MAX_ANSWER = 64 << 10
"""Bytes of an answer to a frame, and of any error body, that are read; more is cut off."""


class WireError(Exception):
    """A body that is not the message it should be, or is too large; the message says what was wrong."""


class Answer(Struct, frozen=True):
    """A receiver's answer to a frame."""

    ack: Ack


class ErrorBody(Struct, frozen=True):
    """Why a call was not carried out."""

    error: str
    reason: str = ""
    """With `GAVE_UP`, the JobError's."""


GAVE_UP = 507
"""Status of an answer that carries a JobError of the receiver's, most often that its disk is full."""


def bearer(token: str) -> str:
    """The value of the Authorization header."""
    return f"Bearer {token}"


def authorized(header: str | None, token: str) -> bool:
    """Whether the Authorization header carries the token. It takes the same time whichever part of it is wrong."""
    return hmac.compare_digest((header or "").encode(errors="surrogateescape"), bearer(token).encode())


def encode(message: Struct) -> bytes:
    return msgspec.json.encode(message)


def decode(data: bytes | bytearray, kind: type[T]) -> T:
    """Raises WireError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"a body that is no {kind.__name__}: {error}") from None


def problem(data: bytes | bytearray) -> str:
    """What an error body says; for one that is not ours, its beginning."""
    try:
        return decode(data, ErrorBody).error
    except WireError:
        return data[:200].decode(errors="replace").strip()


def gave_up(data: bytes | bytearray) -> JobError:
    """The JobError in the body of a `GAVE_UP`."""
    try:
        found = decode(data, ErrorBody)
    except WireError:
        return Internal(problem(data))
    return REASONS.get(found.reason, Internal)(found.error)


async def collect(pieces: AsyncIterator[bytes], limit: int = MAX_CONTROL_BODY) -> bytearray:
    """A whole body. Raises WireError as soon as there is more than `limit` of it; holds no more than that."""
    body = bytearray()
    async for piece in pieces:
        if len(body) + len(piece) > limit:
            raise WireError(f"a body of more than {limit} bytes")
        body += piece
    return body

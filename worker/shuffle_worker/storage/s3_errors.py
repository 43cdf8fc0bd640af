"""S3's error codes and exceptions as JobErrors for people, and which of them another try may mend. Pure."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator

import aiohttp
from botocore import exceptions as boto  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

from shuffle_protocol.errors import (
    AccessDenied,
    DataError,
    InputNotFound,
    InvalidSpec,
    JobError,
    OutOfDisk,
    StorageUnavailable,
)
from shuffle_worker.storage.failures import failure, said
from shuffle_worker.storage.retry import Transient


class MissingKey(InputNotFound):
    """A key or an upload is not there, though its bucket is."""


_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidSecurity",
    "AuthorizationHeaderMalformed",
}
_REFUSED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403", "401", "Unauthorized"}
_MISSING = {"NoSuchKey", "NotFound", "404", "NoSuchUpload"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507", "EntityTooLarge"}
_ELSEWHERE = {"PermanentRedirect", "301", "IllegalLocationConstraintException", "TemporaryRedirect"}
_CHANGED = {"PreconditionFailed", "412", "InvalidRange", "416"}
_BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "OperationAborted",
    "BandwidthLimitExceeded",
    "XMinioServerNotInitialized",
    "429",
    "500",
    "502",
    "503",
    "504",
}
_SILENT = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.IncompleteReadError,
    ResponseParserError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    ConnectionError,
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes: s3fs wraps the client's errors."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def code_of(error: BaseException) -> str:
    """The store's error code; "" if it did not answer."""
    for one in _chain(error):
        if isinstance(one, boto.ClientError):
            found = str(one.response.get("Error", {}).get("Code") or "")
            return found or str(one.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    return ""


def translated(path: str, doing: str, error: Exception, endpoint: str) -> Exception:
    """The error as a JobError, or as a Transient if another try may help."""
    if isinstance(error, JobError):
        return error
    path = shown(path)
    code = code_of(error)
    if code:
        return _of_code(path, doing, code, error, endpoint)
    for one in _chain(error):
        if isinstance(one, boto.NoCredentialsError | boto.PartialCredentialsError):
            return AccessDenied(
                f"{path}: no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                "(in the cluster: storage.secretRef), or storage.options.anon: true for a public bucket"
            )
        if isinstance(one, boto.ProfileNotFound | boto.CredentialRetrievalError | boto.TokenRetrievalError):
            return AccessDenied(f"{path}: no credentials: {said(one)}")
        if isinstance(one, boto.ParamValidationError):
            return InvalidSpec(f"{path}: is no address that S3 accepts: {said(one)}")
        if isinstance(one, boto.SSLError):
            return StorageUnavailable(f"{doing} {path}: {endpoint} has no certificate that is trusted: {said(one)}")
        if isinstance(one, _SILENT) or type(one).__name__ == "FSTimeoutError":
            final = StorageUnavailable(f"{doing} {path}: {endpoint} does not answer: {_why(one)}")
            return Transient(final, unknown=any(isinstance(each, socket.gaierror) for each in _chain(error)))
        if isinstance(one, ValueError) and "endpoint" in str(one).lower():
            return InvalidSpec(f"storage.endpoint: {said(one)}")
    return failure(path, doing, error)


_OWN = re.compile(r"_shuffle-[^/]+(/.*)?$")


def shown(path: str) -> str:
    """The path as the job names it: the output for files in the job's own folders."""
    return _OWN.sub("", path)


def _of_code(path: str, doing: str, code: str, error: Exception, endpoint: str) -> Exception:
    known = _not_there(path, code, error, endpoint) or _not_allowed(f"{doing} {path}", code, error, endpoint)
    if known is not None:
        return known
    if code in _FULL:
        return OutOfDisk(f"{doing} {path}: {endpoint} has no room left ({code}): {_text(error)}")
    if code in _CHANGED:
        return DataError(f"{path}: the file changed while the job ran; run it again when nothing writes to its input")
    if code in _BUSY:
        return Transient(StorageUnavailable(f"{doing} {path}: {endpoint} is busy or failing ({code}): {_text(error)}"))
    return StorageUnavailable(f"{doing} {path}: {endpoint} answered {code}: {_text(error)}")


def _not_there(path: str, code: str, error: Exception, endpoint: str) -> JobError | None:
    """The error if the path leads nowhere; None for other codes."""
    bucket = path.partition("://")[2].partition("/")[0]
    if code == "NoSuchBucket":
        return InputNotFound(f"{path}: there is no bucket {bucket!r} at {endpoint}")
    if code == "InvalidBucketName":
        return InvalidSpec(f"{path}: {bucket!r} is no name for a bucket")
    if code in _MISSING:
        return MissingKey(f"{path}: no such file")
    if code in _ELSEWHERE:
        return InvalidSpec(f"{path}: the bucket is in another region; set storage.options.region ({_text(error)})")
    return None


def _not_allowed(doing: str, code: str, error: Exception, endpoint: str) -> JobError | None:
    if code in _CREDENTIALS:
        return AccessDenied(f"{doing}: {endpoint} does not accept the credentials ({code}): {_text(error)}")
    if code in _REFUSED:
        return AccessDenied(
            f"{doing}: {endpoint} refused ({code}): the credentials have no right to do this, or are wrong"
        )
    if code == "RequestTimeTooSkewed":
        return AccessDenied(f"{doing}: {endpoint} refused: this machine's clock is wrong")
    return None


def _text(error: BaseException) -> str:
    for one in _chain(error):
        if isinstance(one, boto.ClientError):
            return str(one.response.get("Error", {}).get("Message") or "no message")
    return said(error)


def _why(error: BaseException) -> str:
    if type(error).__name__ == "FSTimeoutError":
        return "no answer in time"
    if isinstance(error, boto.EndpointConnectionError):  # its text names an address inside the job's own folders
        inner = next((one for one in _chain(error) if isinstance(one, OSError | aiohttp.ClientError)), None)
        return f"no connection could be made{f': {said(inner)}' if inner is not None else ''}"
    return said(error)

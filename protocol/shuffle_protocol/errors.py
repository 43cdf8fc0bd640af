"""What can go wrong with a job, as one tree.

Every error that a user may see is a `JobError`: a stable `reason` (part of the API, see docs/reference) and a message
that names the thing, what was found, what was expected and what to do. Anything else that escapes is a defect and is
reported as `Internal`.

    JobError
      InvalidSpec          the job file cannot be carried out as written
      InputNotFound        no such file, folder, bucket or scheme
      AccessDenied         the store refused the credentials
      StorageUnavailable   the store did not answer, or answered 5xx, until the retries were spent
      OutputExists         the output holds files and `onExisting` is Fail
      DataError            bytes that are not what their name says, or changed under the job
      UserFunctionFailed   a function of the user's raised
      OutOfMemory          the memory given cannot hold one unit of work
      OutOfDisk            scratch or output has no room left
      Internal             a defect of ours
"""

from __future__ import annotations

from typing import ClassVar


class JobError(Exception):
    """A failure of the job that no retry on another worker would mend.

    `refusal` marks the reasons for which a job is refused rather than failed when they are found before any data was
    moved: the command line then exits with 2 instead of 1.
    """

    reason: ClassVar[str] = "Internal"
    refusal: bool = False
    retry: ClassVar[bool] = False
    """Another attempt, perhaps by another worker, may mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidSpec(JobError):
    reason = "InvalidSpec"
    refusal = True


class InputNotFound(JobError):
    reason = "InputNotFound"
    refusal = True


class AccessDenied(JobError):
    reason = "AccessDenied"
    refusal = True


class StorageUnavailable(JobError):
    reason = "StorageUnavailable"
    refusal = True
    retry = True


class OutputExists(JobError):
    reason = "OutputExists"
    refusal = True


class DataError(JobError):
    reason = "DataError"
    refusal = True


class UserFunctionFailed(JobError):
    reason = "UserFunctionFailed"


class OutOfMemory(JobError):
    reason = "OutOfMemory"
    refusal = True


class OutOfDisk(JobError):
    reason = "OutOfDisk"
    refusal = True


class Internal(JobError):
    reason = "Internal"


REASONS: dict[str, type[JobError]] = {
    kind.reason: kind
    for kind in (
        InvalidSpec,
        InputNotFound,
        AccessDenied,
        StorageUnavailable,
        OutputExists,
        DataError,
        UserFunctionFailed,
        OutOfMemory,
        OutOfDisk,
        Internal,
    )
}

"""Errors of the operating system or a store as JobErrors that a person can act on.

Every storage uses it. `failure` picks the kind of error; the caller says what it was doing (`reading`, `writing`).
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from shuffle_protocol.errors import AccessDenied, InputNotFound, InvalidSpec, JobError, OutOfDisk, StorageUnavailable

FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def failure(path: str, doing: str, error: BaseException) -> JobError:
    """The JobError for an error of the file system."""
    if isinstance(error, JobError):
        return error
    if isinstance(error, FileNotFoundError):
        return InputNotFound(f"{path}: no such file or folder")
    code = error.errno if isinstance(error, OSError) else None
    if code in FULL:
        return OutOfDisk(f"{doing} {path}: no room left on the disk{_room(path)}")
    if code == errno.EFBIG:
        return OutOfDisk(f"{doing} {path}: the file is too large for the disk, or for the process's limit (ulimit -f)")
    if isinstance(error, PermissionError) or code in REFUSED:
        read_only = " (the file system is read-only)" if code == errno.EROFS else ""
        return AccessDenied(f"{doing} {path}: permission denied{read_only}")
    if isinstance(error, IsADirectoryError):
        return InvalidSpec(f"{path}: is a folder, a file was expected")
    if isinstance(error, NotADirectoryError | FileExistsError):
        return InvalidSpec(f"{path}: a file stands where a folder is needed")
    if code == errno.ENAMETOOLONG:
        return InvalidSpec(f"{path}: the name is too long for the file system")
    return StorageUnavailable(f"{doing} {path}: {said(error)}")


def said(error: BaseException) -> str:
    """An error's message in one line; its class if it has none."""
    text = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
    return " ".join(str(text).split())[:400]


def _room(path: str) -> str:
    for folder in Path(path).parents:
        try:
            return f" ({shutil.disk_usage(folder).free / (1 << 20):.1f} MiB free)"
        except OSError:
            continue
    return ""

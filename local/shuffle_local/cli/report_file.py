"""The file that a job's report goes to."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from shuffle_operator.history.document import JobHistory


@dataclass(frozen=True, slots=True)
class ReportFile:
    """Whole or not there: it is written beside its place and then moved."""

    path: Path

    @classmethod
    def planned(cls, path: Path, option: str = "--report") -> ReportFile:
        """Refuses, before anything is started, what cannot be written at the end. option: which asks for it."""
        found = cls(path)
        try:
            found.check()
        except OSError as error:
            raise typer.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint=option) from None
        return found

    def check(self) -> None:
        """Raises OSError where nothing can be written there."""
        folder = self.path.absolute().parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder for the report: {folder}", str(self.path))
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "this is a folder", str(self.path))
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, f"nothing can be written in {folder}", str(self.path))

    def write(self, history: Callable[[], JobHistory], warn: Callable[[str], None]) -> None:
        """A job that is complete stays so whatever becomes of its report: that is a warning."""
        try:
            from shuffle_operator.web.report import render

            self.put(render(history()))
        except OSError as error:
            warn(f"{self.path} could not be written: {error.strerror or error}")
        except Exception as error:
            warn(f"{self.path} could not be written because of a defect: {type(error).__name__}: {error}")

    def put(self, text: str) -> None:
        """Raises OSError."""
        beside = self.path.with_name(f".{self.path.name[:100]}.{secrets.token_hex(4)}")
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)

"""Makes the code that a job brings ready for import: folders as they are, files copied to scratch once and checked.

    a folder            on this machine: a mounted ConfigMap, the folder of the job file
    x.py                one module
    x.zip, x.whl        unpacked, so that compiled modules, data files and tracebacks work as if installed

The plan notes the digest of every file, and each worker refuses any other file. Otherwise, if a file is replaced while
a job runs, two programs would make the output.

Scratch: the files and their unpacked contents, at most `MOST_BYTES`; removed with the worker's scratch folder.
"""

from __future__ import annotations

import hashlib
import posixpath
import shutil
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shuffle_protocol.errors import DataError, InputNotFound, InvalidSpec
from shuffle_protocol.jobs import CodeSource
from shuffle_protocol.units import readable
from shuffle_worker.storage import storage_for, urls

MOST_BYTES = 1 << 30
"""Bytes of one unpacked zip or wheel: more is a mistake, or a bomb."""

PIECE = 1 << 20
SUFFIXES = (".py", ".zip", ".whl")
_one_at_a_time = threading.Lock()


class ImportPath(NamedTuple):
    """A folder to import from."""

    folder: str
    name: str
    """Its name for people."""
    last: bool
    """Searched after the packages of the image."""
    sha256: str = ""
    """Digest of the file that it was unpacked from, which `prepare` on other workers must find too; "" for a folder of
    the job."""


def prepare(sources: Sequence[CodeSource], scratch: Path, expected: Sequence[str] = ()) -> list[ImportPath]:
    """expected: the digest of each source by the plan; empty while planning. Calling it again is cheap.

    Raises InvalidSpec, InputNotFound and the other JobErrors of storage; DataError if a file has changed."""
    places: list[ImportPath] = []
    for at, source in enumerate(sources):
        where = f"functions.sources[{at}]"
        if not _is_file(source):
            places.append(_folder(source, where))
            continue
        digest = expected[at] if at < len(expected) else source.sha256
        with _one_at_a_time:
            places.append(_unpacked(source, where, scratch / f"code-{at}", digest))
    return places


def _is_file(source: CodeSource) -> bool:
    return source.path.lower().endswith(SUFFIXES)


def _folder(source: CodeSource, where: str) -> ImportPath:
    name = source.name or source.path
    if urls.scheme_of(source.path) != "file":
        raise InvalidSpec(
            f"{where}.path: {source.path} is no .py, .zip or .whl file; a folder of modules must be on the workers "
            "themselves: pack it into a zip"
        )
    folder = Path(urls.local_path(source.path))
    if not folder.is_dir():
        what = "is a file, and no .py, .zip or .whl" if folder.exists() else "is not there"
        raise InvalidSpec(f"{where}: {name}: the folder {folder} {what}")
    return ImportPath(str(folder), name, source.last)


def _unpacked(source: CodeSource, where: str, folder: Path, expected: str) -> ImportPath:
    name = source.name or source.path
    modules, note = folder / "modules", folder / "sha256"
    if not note.exists():  # written last
        shutil.rmtree(folder, ignore_errors=True)
        modules.mkdir(parents=True)
        file = folder / posixpath.basename(source.path)
        digest = _fetch(source, file, where)
        if expected and digest != expected.lower():
            raise DataError(
                f"{where}: {name} has the SHA-256 {digest}, expected {expected.lower()}; "
                + ("it is not the file that the job names" if source.sha256 else "it was replaced while the job ran")
            )
        if file.suffix.lower() == ".py":
            file.rename(modules / file.name)
        else:
            _unzip(file, modules, f"{where}: {name}")
            file.unlink()
        note.write_text(digest)
    return ImportPath(str(modules), name, source.last, note.read_text())


def _fetch(source: CodeSource, to: Path, where: str) -> str:
    """Copy the file. Returns its SHA-256."""
    storage = storage_for(source.path, source.storage)
    digest = hashlib.sha256()
    try:
        with storage.open(source.path) as remote, to.open("wb") as local:
            while piece := remote.read(PIECE):
                digest.update(piece)
                local.write(piece)
    except InputNotFound as error:
        raise InputNotFound(f"{where}.path: {error.message}") from error
    return digest.hexdigest()


def _unzip(file: Path, to: Path, what: str) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MOST_BYTES:
                raise InvalidSpec(f"{what} holds {readable(size)}; {readable(MOST_BYTES)} are the most")
            archive.extractall(to)  # members stay inside the folder
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{what} cannot be unpacked: {error}") from error
    for data in to.glob("*.data"):  # a wheel installs these beside its packages
        for kind in ("purelib", "platlib"):
            for entry in sorted((data / kind).glob("*")):
                entry.rename(to / entry.name)

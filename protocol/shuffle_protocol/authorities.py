"""The certificates of public authorities, read when a connection first needs them.

aiohttp makes two contexts for `https://` when it is imported, and each reads the certificate of every authority: 40 to
50 ms, a sixth of what a worker takes to start. Almost no process ever uses them: ours speak plain HTTP or trust their
job's own authority, and the client of S3 has a context of its own.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class LateContext(ssl.SSLContext):
    """Reads the certificates before its first connection, and is an ordinary context from then on."""

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        return _read(self).wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        return _read(self).wrap_socket(*arguments, **named)


def _read(context: ssl.SSLContext) -> ssl.SSLContext:
    context.__class__ = ssl.SSLContext
    context.set_default_verify_paths()
    return context


@contextmanager
def read_late() -> Iterator[None]:
    """Contexts that are made in this block and would read the system's certificates become `LateContext`s. For the
    import of aiohttp in a process of ours, before it has a second thread, which may make contexts too."""

    def later(self: ssl.SSLContext) -> None:
        self.__class__ = LateContext

    ssl.SSLContext.set_default_verify_paths = later  # type: ignore[method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # the one of the class above shows again

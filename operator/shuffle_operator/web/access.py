"""Who may look at the pages.

In a cluster: who has the token, as `Authorization: Bearer ...` (what a proxy adds) or as the password of HTTP's own
login (what a browser asks for). On one machine: who comes over loopback by its name, so that no site in a browser can
pass for this machine (DNS rebinding).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from shuffle_protocol.errors import InvalidSpec

log = logging.getLogger("shuffle.web")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class ByToken:
    """digest: SHA-256 of the token, which is all that is kept of it."""

    digest: bytes

    @classmethod
    def of(cls, token: str) -> ByToken:
        return cls(_digest(token))

    def check(self, request: web.Request) -> None:
        """Raises 401 where the token is missing or wrong. Compares in constant time."""
        if not hmac.compare_digest(_digest(_given(request)), self.digest):
            raise web.HTTPUnauthorized(
                text="these pages need their token (docs/security.md says where it is)",
                headers={"WWW-Authenticate": 'Basic realm="shuffle jobs", charset="UTF-8"'},
            )


LOOK_EVERY = 1.0
"""Seconds for which a token is good without another look at its file."""


@dataclass(slots=True)
class ByTokenFile:
    """The token of a file that may change: a Secret that is mounted, and rotated.

    The file is read again with the first request of each `LOOK_EVERY` seconds. Where it holds no token any more, the
    one before stays good, and the log says why, once: a slip must not close the pages for everybody.
    """

    read: Callable[[], str]
    """The token that the file has now. Raises InvalidSpec where it has none."""
    clock: Callable[[], float] = time.monotonic
    _access: ByToken = field(init=False)
    _looked: float = field(init=False)
    _trouble: str = field(default="", init=False)

    def __post_init__(self) -> None:
        """Raises InvalidSpec: without a first token there are no pages."""
        self._access = ByToken.of(self.read())
        self._looked = self.clock()

    def check(self, request: web.Request) -> None:
        """Raises 401 where the token is missing, wrong, or was replaced."""
        now = self.clock()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._look()
        self._access.check(request)

    def _look(self) -> None:
        try:
            found = ByToken.of(self.read())
        except InvalidSpec as error:
            if error.message != self._trouble:
                log.error("the pages' token before this one stays good: %s", error.message)
            self._trouble = error.message
            return
        self._trouble = ""
        if found != self._access:
            log.info("the pages' token was replaced")
            self._access = found


@dataclass(frozen=True, slots=True)
class ByLoopback:
    """No token."""

    def check(self, request: web.Request) -> None:
        """Raises 403 where the address in the request is not this machine's."""
        host = request.host
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in LOOPBACK:
            raise web.HTTPForbidden(text="this page is for this machine alone: open it by 127.0.0.1 or localhost")


Access = ByToken | ByTokenFile | ByLoopback


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def _given(request: web.Request) -> str:
    """The token of a request; "" where there is none."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            login = base64.b64decode(value, validate=True).decode()
        except ValueError:  # neither base64 nor UTF-8
            return ""
        return login.partition(":")[2]
    return ""

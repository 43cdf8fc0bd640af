"""Who may look at the pages.

In a cluster: who has the token, as `Authorization: Bearer ...` (what a proxy adds) or as the password of HTTP's own
login (what a browser asks for). On one machine: who comes over loopback by its name, so that no site in a browser can
pass for this machine (DNS rebinding).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from aiohttp import web

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


@dataclass(frozen=True, slots=True)
class ByLoopback:
    """No token."""

    def check(self, request: web.Request) -> None:
        """Raises 403 where the address in the request is not this machine's."""
        host = request.host
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in LOOPBACK:
            raise web.HTTPForbidden(text="this page is for this machine alone: open it by 127.0.0.1 or localhost")


Access = ByToken | ByLoopback


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

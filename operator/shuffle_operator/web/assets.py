"""What pages are made of: two HTML pages, a style sheet, a script and the plotting library, and the headers with which
they are served.

Everything is read once and kept (150 KiB). Nothing comes from any other address, and the policy says so to browsers.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from shuffle_operator.web.bundle import bundle

STATIC = files("shuffle_operator.web") / "static"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The Content-Security-Policy: scripts and styles from files of this server alone, none in the page itself."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer, data too."""

PageKind = Literal["jobs", "job"]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that is served."""

    content_type: str
    body: bytes
    packed: bytes
    """The same by gzip, for callers that accept it."""
    etag: str
    """Changes with the content: browsers keep a file and ask whether it is still this one (Cache-Control: no-cache)."""


def read(name: str) -> str:
    """A file of `static/`."""
    return STATIC.joinpath(*name.split("/")).read_text(encoding="utf-8")


@cache
def script() -> str:
    """The page's modules as one."""
    return bundle("js/main.js", read)


@cache
def library() -> str:
    """uPlot."""
    return read("vendor/uPlot.iife.min.js")


@cache
def styles() -> str:
    """uPlot's style sheet and the page's."""
    return read("vendor/uPlot.min.css") + "\n" + read("page.css")


def asset(name: str) -> Asset | None:
    """What is served as `/static/{name}`; None: there is no such thing."""
    made = _ASSETS.get(name)
    return None if made is None else made()


@cache
def page(kind: PageKind) -> Asset:
    """The page with the list of jobs (`/`), or that of a job (`/jobs/{uid}`). Addresses in it are relative, so that a
    proxy may put it anywhere."""
    root = {"jobs": "./", "job": "../"}[kind]
    return _asset("text/html", read("index.html").replace("{root}", root).replace("{page}", kind))


@cache
def _page_script() -> Asset:
    return _asset("text/javascript", script())


@cache
def _library() -> Asset:
    return _asset("text/javascript", library())


@cache
def _page_styles() -> Asset:
    return _asset("text/css", styles())


_ASSETS: dict[str, Callable[[], Asset]] = {"page.js": _page_script, "uPlot.js": _library, "page.css": _page_styles}


def _asset(content_type: str, text: str) -> Asset:
    body = text.encode()
    return Asset(
        f"{content_type}; charset=utf-8", body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:32]
    )

"""That a result is not what it is to be."""

from __future__ import annotations


class Differs(Exception):
    """A result is not what was declared; the message says how."""

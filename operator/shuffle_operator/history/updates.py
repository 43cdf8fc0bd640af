"""What is sent to a live page."""

from __future__ import annotations

from msgspec import Struct, field


class Update(Struct, frozen=True, omit_defaults=True):
    """What is sent to a live page: parts of a `JobHistory` that are new.

    `set` maps the path of a part to its new value: "verdict", "timeline/width", "timeline/columns/17", "workers/3".
    Apply `length` first (lists are cut, never filled), then `set`. When `more` is true the next update belongs to the
    same state: draw only after the last of them.
    """

    reset: bool = False
    """Forget everything that came before."""
    length: dict[str, int] = field(default_factory=dict)
    """How long these lists are now, at the most."""
    set: dict[str, object] = field(default_factory=dict)
    more: bool = False

"""What the chart's tests are about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "charts" / "shuffle-operator"

Objects = list[dict[str, Any]]
Render = Callable[..., Objects]


class Refused(Exception):
    """helm did not accept the values."""

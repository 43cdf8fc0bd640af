"""What visits-by-referrer.yaml sends its events through."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pandas as pd


def parsed(events: pd.DataFrame) -> pd.DataFrame:
    """The events that have a page, with its path and where the visitor came from. Each row by itself."""
    events = events.dropna(subset=["page"])
    addresses = events["page"].map(urlsplit)
    return pd.DataFrame(
        {
            "event_id": events["event_id"],
            "ts": events["ts"],
            "path": addresses.map(lambda address: address.path),
            "referrer": addresses.map(lambda address: parse_qs(address.query).get("ref", ["nobody"])[0]),
        }
    )

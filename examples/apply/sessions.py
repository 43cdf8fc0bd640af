"""What sessions-of-users.yaml calls for the events of many users at once."""

from __future__ import annotations

import pandas as pd

GAP = pd.Timedelta(minutes=30)


def sessionize(events: pd.DataFrame) -> pd.DataFrame:
    """One row for each session: a new one begins with another user, and after half an hour of nothing."""
    events = events.sort_values(["user_id", "ts"])
    begins = events["user_id"].ne(events["user_id"].shift()) | (events["ts"].diff() > GAP)
    session = begins.cumsum()
    ts = events["ts"].groupby(session)
    return pd.DataFrame(
        {
            "user_id": events["user_id"].groupby(session).first(),
            "start": ts.min(),
            "end": ts.max(),
            "events": ts.size(),
            "bought": (events["kind"] == "purchase").groupby(session).any(),
        }
    )

"""What both-logs.yaml sends its inputs through."""

from __future__ import annotations

import pandas as pd


def of_purchases(rows: pd.DataFrame) -> pd.DataFrame:
    """What was bought, for how much in cents."""
    return pd.DataFrame(
        {
            "at": rows["ts"],
            "user": rows["user_id"],
            "cents": (rows["amount"] * 100).round().astype("Int64"),
            "log": rows["log"],
        }
    )


def of_views(rows: pd.DataFrame) -> pd.DataFrame:
    """The pages that were seen, without what stands behind a question mark."""
    rows = rows.dropna(subset=["page"])
    return pd.DataFrame(
        {"at": rows["ts"], "user": rows["user_id"], "path": rows["page"].str.split("?").str[0], "log": rows["log"]}
    )

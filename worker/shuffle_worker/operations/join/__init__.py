"""Join: what is planned, rows to their places, both sides matched."""

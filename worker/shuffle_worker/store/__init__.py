"""Shards between arrival and writing: in memory while they fit, on scratch when they do not."""

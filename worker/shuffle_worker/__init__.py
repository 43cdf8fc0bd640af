"""The worker: reads splits, streams shards to its peers, stores what it owns, writes output files.

Nothing here imports `shuffle_operator`; the operator imports from here. docs/architecture.md says what is where.
"""

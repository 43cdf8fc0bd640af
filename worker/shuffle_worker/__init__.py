"""The worker: reads splits, streams shards to its peers, stores what it owns, writes output files.

It knows `shuffle_protocol` and not the operator. docs/architecture.md says what is where.
"""

"""The worker: reads splits, streams shards to its peers, stores what it owns, writes output files.

Nothing here imports `shuffle_operator`; the operator knows the worker's `protocol` and `plan`, never the other way.
"""

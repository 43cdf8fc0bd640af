"""The operator: the ShuffleJob API, the coordinator that keeps the barrier, launchers, clients.

It knows `shuffle_protocol` and not the worker. `shuffle_local` has the command line. docs/architecture.md says what is
where.
"""

"""The operator: the ShuffleJob API, the coordinator that keeps the barrier, launchers, and the command line."""

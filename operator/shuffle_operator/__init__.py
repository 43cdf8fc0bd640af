"""The operator: the ShuffleJob API, the coordinator that keeps the barrier, launchers of workers, and the command line."""

"""Exit codes of every command."""

COMPLETE = 0
FAILED = 1
INVALID = 2
INTERRUPTED = 130

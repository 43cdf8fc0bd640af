"""Sort: a global order."""

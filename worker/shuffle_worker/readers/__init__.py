"""Input formats: pieces of files to record batches of the plan's schema."""

"""Which row goes where: hashing, ranges, round robin, and the one gather that puts rows in that order."""

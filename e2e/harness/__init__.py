"""What the tests stand on: a cluster, its storage, jobs, and ways to break things."""

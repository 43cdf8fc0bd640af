"""Moving shards between workers: the sender's outbox, the receiver's inbox, and HTTP below them."""

"""Working a job out before it moves a byte: inputs, one schema, filter, splits, layout, boundaries."""

"""What a plan is: the record that every worker reads, its layout, its sizes. Made by `planning/`."""

"""Work on tables: the five kinds of lease, and the commit."""

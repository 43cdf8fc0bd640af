"""The plan of a job on tables: made, explained."""

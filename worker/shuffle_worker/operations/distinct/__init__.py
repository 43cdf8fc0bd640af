"""Distinct: one row for each key."""

"""Repartition: rows by hash, by range or in turn."""

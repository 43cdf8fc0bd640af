"""Group by: partial aggregation before rows are sent, final aggregation after."""

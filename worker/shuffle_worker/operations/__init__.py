"""What is done with the rows: the map side that makes shards, the reduce side that makes files.

A folder an operation: `plan.py` has what it decides while a job is planned, `rows.py` what it does with rows. What
several of them are made of is in `steps/`; what groupBy aggregates of a group, in `aggregation/`. `registry.py` knows
all of them; docs/adding-an-operation.md walks through one.
"""

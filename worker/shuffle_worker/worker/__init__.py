"""A worker as a whole.

process.py   puts the parts together
agent.py     registers, syncs, starts leases and lets them go
loading.py   the plan of the job
leases.py    carries leases out; failures.py: what the coordinator learns of those that fail
works.py     which work its job is; exchanges.py: what its shards go through
warm.py      what workers on one machine are forked from
explaining.py, check.py   processes for `shuffle explain` and `shuffle doctor`
"""

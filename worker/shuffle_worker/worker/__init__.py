"""A worker as a whole.

process.py   puts the parts together       agent.py     register, sync, carry out leases; failures.py: in words
works.py     which work its job is         explaining.py, check.py: processes for `shuffle explain` and `shuffle doctor`
"""

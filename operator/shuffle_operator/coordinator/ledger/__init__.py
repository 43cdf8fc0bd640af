"""The ledger of a job: which work is due, who can bring it, who has it, and what is done. No time, no I/O.

ledger     groups change their owner, work is done: what concerns all of the following
granting   leases (leases.py): which are given out, and what their ends change
routing    who can bring a split that is due
facts      what is done for each tranche (tranches.py), who owns what (owners.py), and what it adds up to (totals.py)
"""

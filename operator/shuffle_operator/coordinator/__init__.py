"""The coordinator: one state machine a job, and a thin HTTP app around it.

ledger     what is due, what is out, what is done: tranches of splits, groups, attempts   (pure)
members    who is in the job, seen when, holding what                                      (pure)
machine    events in, replies and actions out: phases, barrier, ownership, losses, failure (pure)
status     a snapshot of it all, with the sentence that people read
server     aiohttp around the machine
settings   every limit and default, with its reason
"""

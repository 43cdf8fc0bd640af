"""The coordinator: one state machine a job, without any I/O (`server/` puts HTTP around it).

ledger     what is due, what is out, what is done; with owners, tranches, leases, totals
core       what the machine knows, and the moves that all else is made of; with members, losses, stragglers, rollback
epochs     when the epoch rises, and the views that workers are sent (views)
grants     which work a worker is given; migration: groups that change hands; job_leases: one of at a time
results    what became of leases; resizing: another number of workers; registration: who may take part
state_recovery  what a lost coordinator's workers report; rebuild: what is made of it
machine    events in, replies and actions out, on top of all these
status     a snapshot of it all, with the sentence that people read
settings   every limit and default, with its reason
"""

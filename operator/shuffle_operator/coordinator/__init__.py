"""The coordinator: one state machine a job, without any I/O (`server/` puts HTTP around it). docs/coordinator.md walks
through it.

machine     events in, replies and actions out, in a fixed order of steps:
            note (reports) -> count (results) -> advance (advancing) -> grant (grants) -> answer (orders)
events      what happens to a job beside the messages of its workers; actions: what the coordinator asks for
state       all that is known of the job, in one record
ledger/     a part of the state: splits, groups, leases
handlers    workers: they start and are lost; registration: they join; migration: groups change hands;
            resizing: another number of workers; deadlines: time has passed; takeover: from a coordinator that died;
            failing: a job fails; transitions: it enters a phase (phases)
records     members, losses, crashes, job_leases, rollback, stragglers, epochs (views), waits, earlier, state_recovery
            (rebuild): parts of the state that know nothing of each other
status      a snapshot of it all, with the sentence that people read (remaining)
settings    every limit and default, with its reason; size: how many workers
"""

"""The operator proper: from what the API server says to what is started, written and removed.

watch       kopf: events of ShuffleJobs and of worker pods            -> cache, queue
cache       the last that is known of every job and its pods
queue       one level-triggered pass a job at a time, again later if it failed
reconcile   one pass over one job: policies, then launcher, machine, status
admission   which jobs may begin, oldest first
beginning   from a resource to a job that runs
active      a job that runs: its machine, its pods, its token
job_pages   jobs as their pages show them
accepted    the spec that it was begun with
giving_up   a job whose machine is of no use
cleaning    what is left of a job that is over
policies    one function a policy, pure
statuses    from a machine's snapshot to the resource's status, pure
writer      the one place that writes a status
recorder    events that people read
rbac        every verb that all this uses
"""

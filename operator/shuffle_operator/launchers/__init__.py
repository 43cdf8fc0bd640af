"""How workers come to be as pods (`shuffle_local/processes.py`: as processes of this machine).

launcher       the contract
kubernetes     pods: which there should be, and the requests for it
pod, overlay   what a pod is: made of the job, with the job's podTemplate over it
resources      what a pod is given: memory, processors, scratch
pod_state      how a pod ended and why
isolation      who may reach a job's pods
quota_queue, pauses   when a request that was refused is made again
"""

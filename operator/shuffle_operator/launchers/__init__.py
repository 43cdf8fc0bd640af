"""How workers come to be: as processes of this machine, or as pods.

base                 the contract
local, local_run     processes of this machine, and a whole job of them
kubernetes           pods: which there should be, and the requests for it
pod, overlay         what a pod is: made of the job, with the job's podTemplate over it
pod_state, crashes   how a pod, or a process, ended and why
isolation            who may reach a job's pods
line, pauses         when a request that was refused is made again
"""

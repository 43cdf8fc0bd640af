"""Shards from those who read splits to those who write groups.

exchange         the contract: transfers send into an exchange, writes read from it
peer_exchange    worker to worker: outbox, inbox, membership, budget, buffers; below: transport, http, http_server
object_exchange  by object storage: objects has the files
work, carry      what a worker can do; how it carries out one transfer
source           what a write reads; threads: blocking calls
"""

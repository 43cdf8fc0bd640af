"""Shards from those who read splits to those who write groups.

exchange         the contract: what transfers send into, and writes read from
peer_exchange    worker to worker: outbox, inbox, membership, budget; below them transport, http and http_server
object_exchange  by object storage: objects has the files
work, carry      what a worker can do, and one transfer carried out with it
source           what a write reads; threads: blocking calls
"""

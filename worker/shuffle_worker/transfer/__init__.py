"""Shards from those who read splits to those who write groups.

exchange         the contract: transfers send into an exchange, writes read from it
peer_exchange    worker to worker: outbox, inbox, membership, budget, buffers; below it transport, with http for the
                 coordinator, and http_peers and http_server for frames (peer_connection, frame_connection: their two
                 ends; socket_reader: what both read with)
object_exchange  by object storage: objects has the files
work, carry      what a worker can do; how it carries out one transfer, with its steps computed ahead (steps_ahead)
source           what a write reads; threads: blocking calls
"""

"""What a worker process is told when it starts, and every knob of it that a user rarely needs."""

from __future__ import annotations

from msgspec import Struct

from shuffle_worker.runtime.owner import Owner


class WorkerConfig(Struct, frozen=True):
    """One worker process.

    coordinator: its address, `http://host:port`, or `https://` with TLS. tls: the folder of the job's certificates
    (protocol/tls.py); "": without TLS. token: the job's, for every call. worker, incarnation: which slot,
    which process. memory: bytes it may use in all. functions: how many of them are for processes of the user's
    functions. slots: leases whose computing runs at once. scratch: a folder of its own, made when it starts and removed
    when it ends. host: the address it listens on. advertise: the one peers
    are told, where it differs. scratch_share: workers whose scratch is on the same disk, for the check that there is
    room. scratch_limit: bytes that scratch may hold where the disk has more; 0: the disk decides. port: 0 for any that
    is free.
    linger: seconds after SIGTERM to wait for news that the job is being undone, which the worker then helps with.
    grace: seconds after SIGTERM to leave at the latest. orphaned: seconds without any coordinator after which the
    worker ends by itself. storage_retry: seconds that a store may be away; 0: tight bounds, for who watches.
    owner: the process that runs the job, on one machine.
    trail: the file that says what the process has in hand (trail.py); "": none is kept.
    """

    coordinator: str
    job: str
    token: str
    worker: int
    incarnation: str
    memory: int
    scratch: str
    functions: int = 0
    slots: int = 1
    host: str = "127.0.0.1"
    advertise: str = ""
    port: int = 0
    scratch_share: int = 1
    scratch_limit: int = 0
    tls: str = ""
    linger: float = 0.0
    grace: float = 0.0
    orphaned: float = 86_400.0
    storage_retry: float = 0.0
    trail: str = ""
    log_level: str = "WARNING"
    owner: Owner | None = None
    watch_stdin: bool = False
    """Leave when standard input ends: how a worker on one machine notices that its launcher is gone."""

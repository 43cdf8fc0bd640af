"""The configuration with which a launcher starts a worker process."""

from __future__ import annotations

from msgspec import Struct

from shuffle_worker.runtime.owner import Owner


class WorkerConfig(Struct, frozen=True):
    """The configuration of one worker process."""

    coordinator: str
    """The coordinator's address, `http://host:port`, or `https://` with TLS."""
    job: str
    token: str
    """The job's token, sent with every call."""
    worker: int
    incarnation: str
    """`worker`, `incarnation`: which slot, and which process in it."""
    memory: int
    """Bytes that the worker may use in all."""
    scratch: str
    """A folder of its own, made when it starts and removed when it ends."""
    functions: int = 0
    """How many bytes of `memory` are for the processes of the user's functions."""
    slots: int = 1
    """Leases whose computing runs at once."""
    host: str = "127.0.0.1"
    """The address it listens on."""
    advertise: str = ""
    """The address that peers call, where it is another one."""
    port: int = 0
    """0: any that is free."""
    scratch_share: int = 1
    """Workers whose scratch is on the same disk, to check that there is room."""
    scratch_limit: int = 0
    """Bytes that scratch may hold where the disk has more; 0: the disk decides."""
    tls: str = ""
    """The folder of the job's certificates (shuffle_protocol/tls.py); "": without TLS."""
    linger: float = 0.0
    """Seconds after SIGTERM to wait for news that the job is being undone. The worker then helps with that."""
    grace: float = 0.0
    """Seconds after SIGTERM by which the worker has left."""
    orphaned: float = 86_400.0
    """Seconds without any coordinator after which the worker ends by itself."""
    storage_retry: float = 0.0
    """Seconds that a store may be away; 0: short ones, where somebody watches."""
    trail: str = ""
    """The file that says what the process has in hand (shuffle_protocol/trail.py); "": none is kept."""
    log_level: str = "WARNING"
    owner: Owner | None = None
    """The process that runs the job, on one machine."""
    watch_stdin: bool = False
    """Leave when standard input ends: how a worker on one machine notices that its launcher is gone."""

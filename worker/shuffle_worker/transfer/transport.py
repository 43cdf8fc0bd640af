"""How workers reach each other and their coordinator: the interfaces between the protocol and the network.

    outbox  --PeerTransport.send-->     ...  --FrameHandler.receive-->   inbox          shards, worker to worker
    agent   --ControlTransport-->       ...                              coordinator    register and sync

`http.py` and `http_server.py` implement them over HTTP, the simulation in memory on virtual time.

Contract, which tests/conformance/test_transports.py runs against every transport:
- `send` returns what the receiver's `receive` returned for exactly that frame, or raises Unreachable. Then nobody knows
  whether the frame arrived, and the sender may repeat it: receivers recognise repeated frames;
- a frame's payload arrives in order, where its receiver wants it. The transport holds little of it in memory, so a
  receiver that asks for nothing holds the sender up;
- a receiver may answer before it has taken the whole payload; the transport drops the rest;
- if the payload breaks off, `fill` raises `Interrupted`; `receive` releases what it has reserved and lets the
  error pass;
- a receiver that cannot go on (because its disk is full, say) raises a JobError; `send` raises the same;
- bytes that are no frame, or belong to another job, never reach a handler.
"""

from __future__ import annotations

from typing import Protocol

from shuffle_protocol.acks import Ack
from shuffle_protocol.frames import Frame, FrameHeader
from shuffle_protocol.messages import Member, Orders, Register, Registered, Sync


class Unreachable(Exception):
    """No answer, or none to trust: a refused or lost connection, a timeout, an address that is someone else's now.
    Nobody knows whether the message arrived. Try again until a newer view says otherwise."""


class Refused(Exception):
    """The coordinator does not accept this worker: wrong token, unknown job, another protocol version. The message is
    the coordinator's. Trying again changes nothing."""


class Over(Refused):
    """The job has finished and its coordinator is gone; there is nothing left to do."""


class Orphaned(Exception):
    """No coordinator has answered for so long that none will come."""


class Interrupted(Exception):
    """The payload of a frame broke off before its end."""


class PeerTransport(Protocol):
    async def send(self, member: Member, frame: Frame) -> Ack:
        """Raises Unreachable, or the JobError that `receive` raised. Several frames may be on their way to one member,
        and arrive in any order."""
        ...

    async def close(self) -> None: ...


class Payload(Protocol):
    """The payload of a frame that is being received."""

    async def fill(self, into: memoryview) -> None:
        """Put its next bytes there, as many as there is room for. Raises Interrupted where they do not come, and
        ValueError where there are not so many."""
        ...


class FrameHandler(Protocol):
    async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
        """payload: `header.payload` bytes in all. Called for several frames at once.

        May wait for room: not taking bytes is the back-pressure. Raises JobError if this worker cannot go on. Any
        other error but Interrupted is a defect, and the sender sees Unreachable."""
        ...


class ControlTransport(Protocol):
    async def register(self, message: Register) -> Registered:
        """Raises Unreachable or Refused."""
        ...

    async def sync(self, message: Sync) -> Orders:
        """Raises Unreachable or Refused. Returns at the latest after `message.wait` seconds and the time on the way."""
        ...

    async def close(self) -> None: ...

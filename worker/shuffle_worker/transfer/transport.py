"""How workers reach each other and their coordinator: the interfaces between the protocol's logic and the network.

    outbox  --PeerTransport.send-->     ...  --FrameHandler.receive-->   inbox          shards, worker to worker
    agent   --ControlTransport-->       ...                              coordinator    register and sync

`http.py` and `http_server.py` have them over HTTP; the simulation has them in memory on virtual time.

Contract, run by the conformance suite in tests/conformance/test_transports.py:
- `send` returns what the receiver's `receive` returned for exactly that frame, or raises Unreachable: then nobody knows
  whether the frame arrived, and the sender may send it again (receivers tell repeated frames apart);
- a frame's payload arrives in order, in pieces of the transport's choice, held in memory a few pieces at a time on
  both sides: a receiver that does not ask for the next piece holds the sender up;
- a receiver may answer before it has taken the whole payload: the rest is thrown away;
- where the payload breaks off, its iterator raises `Interrupted`; `receive` gives back what it had reserved and lets it
  pass;
- a receiver that cannot go on (its disk is full, say) raises a JobError; `send` raises the same;
- bytes that are no frame, or are for another job, never reach a handler.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from shuffle_protocol.acks import Ack
from shuffle_protocol.frames import Frame, FrameHeader
from shuffle_protocol.messages import Member, Orders, Register, Registered, Sync


class Unreachable(Exception):
    """No answer, or none that can be trusted: refused or lost connection, timeout, an address that is someone else's
    now. Whether the message arrived is not known. Trying again is right until a newer view says otherwise."""


class Refused(Exception):
    """The coordinator answered, and will not have this worker: wrong token, unknown job, another protocol version.
    Trying again changes nothing; the message is the coordinator's own."""


class Over(Refused):
    """The job is finished, and the coordinator that knew this worker is gone: there is nothing left to do."""


class Orphaned(Exception):
    """No coordinator has been heard of for so long that none will come."""


class Interrupted(Exception):
    """The payload of a frame broke off before its end."""


class PeerTransport(Protocol):
    async def send(self, member: Member, frame: Frame) -> Ack:
        """Raises Unreachable, or the JobError that `receive` raised. Frames may be sent to one member several at once;
        they may then arrive in any order."""
        ...

    async def close(self) -> None: ...


class FrameHandler(Protocol):
    async def receive(self, header: FrameHeader, body: AsyncIterator[bytes]) -> Ack:
        """body: the payload, `header.payload` bytes in all. Called for several frames at once. May wait for room: not
        taking pieces is the back-pressure. Raises JobError where this worker cannot go on. Anything else but
        Interrupted is a defect; the sender sees Unreachable."""
        ...


class ControlTransport(Protocol):
    async def register(self, message: Register) -> Registered:
        """Raises Unreachable or Refused."""
        ...

    async def sync(self, message: Sync) -> Orders:
        """Raises Unreachable or Refused. Returns after `message.wait` seconds and the time on the way at the latest."""
        ...

    async def close(self) -> None: ...

"""Frames between a worker and a function's process: limits hold before anything is allocated."""

from __future__ import annotations

import os
import socket

import pytest

from shuffle_worker.functions import wire
from shuffle_worker.functions.channel import Channel
from shuffle_worker.functions.wire import (
    HEAD,
    MOST_BODY,
    MOST_HEAD,
    Garbled,
    MessageKind,
    MessageSizes,
    pieces,
    sizes_in,
)

BEYOND = [
    (255, 0, 0, "unknown kind 255"),
    (0, 0, 0, "unknown kind 0"),
    (MessageKind.RAISED, MOST_HEAD + 1, 0, f"a head of {MOST_HEAD + 1} bytes; {MOST_HEAD} is the most"),
    (MessageKind.ROWS, 0, MOST_BODY + 1, f"a body of {MOST_BODY + 1} bytes; {MOST_BODY} is the most"),
]


@pytest.mark.parametrize(("kind", "head", "body", "said"), BEYOND)
def test_what_is_no_frame_is_refused_by_its_first_bytes(kind: int, head: int, body: int, said: str) -> None:
    with pytest.raises(Garbled, match=said):
        sizes_in(HEAD.pack(kind, head, body))


@pytest.mark.parametrize(("kind", "head", "body", "said"), BEYOND)
def test_the_process_of_a_function_refuses_it_too(kind: int, head: int, body: int, said: str) -> None:
    near, far = socket.socketpair()
    with near, far:
        line = Channel(os.dup(far.fileno()))
        near.sendall(HEAD.pack(kind, head, body))
        with pytest.raises(Garbled, match=said):
            line.receive()


def test_as_much_as_may_be_is_taken() -> None:
    assert sizes_in(HEAD.pack(MessageKind.ROWS, MOST_HEAD, MOST_BODY)) == MessageSizes(
        MessageKind.ROWS, MOST_HEAD, MOST_BODY
    )
    assert sizes_in(HEAD.pack(MessageKind.ROWS, 0, 100), most_body=100) == MessageSizes(MessageKind.ROWS, 0, 100)


def test_a_body_is_held_to_the_memory_of_the_process() -> None:
    with pytest.raises(Garbled, match="a body of 101 bytes; 100 is the most"):
        sizes_in(HEAD.pack(MessageKind.ROWS, 0, 101), most_body=100)


def test_a_head_beyond_the_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_HEAD", 20)
    assert len(pieces(MessageKind.READ, {"path": "short"})) == 2
    with pytest.raises(Garbled, match="a READ frame with a head of 21 bytes; 20 is the most"):
        pieces(MessageKind.READ, {"path": "a" * 10})

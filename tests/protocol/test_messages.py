"""Fields come and go without a new version of the protocol: both sides pass over what they do not know."""

from __future__ import annotations

import msgspec

from shuffle_protocol.messages import Counters, Sync

FORMERLY = {
    "stored": 1,
    "received": 2,
    "memory": 3,
    "wait_send": 0.5,
    "wait_store": 0.5,
    "loop_lag": 0.25,
}
"""Counters that nobody read, which workers of the same version still send."""


def test_counters_that_are_gone_are_passed_over() -> None:
    counters = Counters(spilled=7, cpu=1.5, steps=3)
    sent = msgspec.to_builtins(Sync(0, "one", -1, [], [], [], counters, free=1))
    sent["counters"] |= FORMERLY
    assert msgspec.json.decode(msgspec.json.encode(sent), type=Sync).counters == counters


def test_counters_that_are_not_sent_have_their_defaults() -> None:
    assert msgspec.json.decode(b'{"spilled":7}', type=Counters) == Counters(spilled=7)
    assert not set(FORMERLY) & set(Counters.__struct_fields__)

"""A frame is what it was when it was encoded, and whatever else comes in is refused with a reason."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from shuffle_protocol import frames
from shuffle_protocol.acks import Ack
from shuffle_protocol.checksum import checksum
from shuffle_protocol.frames import (
    INDEX,
    MAX_PAYLOAD,
    MAX_SHARDS,
    PREFIX_SIZE,
    Frame,
    FrameError,
    FrameHeader,
    decode_header,
    decode_prefix,
    encode,
    first_corrupt,
)
from shuffle_protocol.messages import VERSION, Attempt
from shuffle_protocol.shards import Shard

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)


@st.composite
def any_shard(draw: st.DrawFn) -> Shard:
    payload = draw(st.lists(st.binary(max_size=40), max_size=3))
    return Shard(draw(u32), draw(u32), draw(u32), checksum(payload), list(payload), sum(map(len, payload)))


any_frame = st.builds(
    Frame,
    job=st.text(max_size=16),
    epoch=st.integers(-1, 2**63 - 1),
    sender=u32,
    incarnation=st.text(max_size=8),
    attempt=st.builds(Attempt, u32, u32, u32),
    number=u64,
    shards=st.lists(any_shard(), max_size=6),
)
FRAME = Frame("job", 4, 2, "abc", Attempt(1, 2, 3), 5, [Shard(7, 8, 9, checksum([b"data"]), [b"data"], 4)])
HEADER = encode(FRAME).header


def same(sent: Frame, header: FrameHeader, payload: bytes) -> bool:
    got = header.shards(memoryview(payload))
    return (
        header[:6] == sent[:6]
        and [s[:4] for s in got] == [s[:4] for s in sent.shards]
        and [bytes(s.payload[0]) for s in got] == [b"".join(map(bytes, s.payload)) for s in sent.shards]
        and first_corrupt(got) is None
    )


def decode(data: bytes) -> FrameHeader | None:
    """As a receiver does it: sizes, then the header. None: not enough bytes."""
    if len(data) < PREFIX_SIZE:
        return None
    prefix = decode_prefix(data[:PREFIX_SIZE])
    return decode_header(data[: prefix.header]) if len(data) >= prefix.header else None


def resealed(header: bytes, /, **fields: int) -> bytes:
    """The header with fields of its prefix changed and its checksum made right again."""
    places = {"version": ("<H", 4), "uid": ("<B", 6), "incarnation": ("<B", 7), "header": ("<I", 16)}
    places |= {"count": ("<I", 20), "payload": ("<Q", 24), "epoch": ("<q", 32)}
    changed = bytearray(header)
    for name, value in fields.items():
        kind, at = places[name]
        struct.pack_into(kind, changed, at, value)
    struct.pack_into("<Q", changed, 8, 0)
    struct.pack_into("<Q", changed, 8, xxhash.xxh3_64_intdigest(changed))
    return bytes(changed)


@given(any_frame)
def test_what_is_encoded_is_decoded(frame: Frame) -> None:
    encoded = encode(frame)
    payload = b"".join(map(bytes, encoded.buffers))
    assert len(encoded.header) + len(payload) == encoded.length
    prefix = decode_prefix(encoded.header)
    assert prefix == (len(encoded.header), len(payload))
    assert same(frame, decode_header(encoded.header), payload)


@given(st.binary(max_size=300))
@example(b"SHFL" + bytes(60))
@example(b"SHFL" + struct.pack("<HBB", VERSION, 255, 255) + b"\xff" * 60)
def test_random_bytes_are_refused_or_too_few(data: bytes) -> None:
    try:
        assert decode(data) is None
    except FrameError as error:
        assert str(error)


@given(any_frame, st.data())
def test_a_header_with_a_flipped_bit_is_refused(frame: Frame, data: st.DataObject) -> None:
    header = bytearray(encode(frame).header)
    bit = data.draw(st.integers(0, len(header) * 8 - 1))
    header[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError):
        decode_header(bytes(header))


@given(any_frame, st.data())
def test_a_header_that_is_cut_or_too_long_is_refused(frame: Frame, data: st.DataObject) -> None:
    header = encode(frame).header
    with pytest.raises(FrameError):
        decode_header(header[: data.draw(st.integers(0, len(header) - 1))])
    with pytest.raises(FrameError, match="that says"):
        decode_header(header + data.draw(st.binary(min_size=1, max_size=30)))


@given(st.binary(min_size=PREFIX_SIZE, max_size=200))
def test_random_bytes_behind_a_right_beginning_are_refused(data: bytes) -> None:
    """Even with a checksum that is right: nothing but FrameError, or a header that is consistent in itself."""
    for whole in (resealed(HEADER[:8] + data), resealed(HEADER[:32] + data)):
        try:
            header = decode_header(whole)
        except FrameError:
            continue
        assert header.payload == int(header.entries["length"].sum())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"version": VERSION + 1}, f"protocol version {VERSION + 1}; this worker speaks {VERSION}"),
        ({"uid": 65}, "64"),
        ({"incarnation": 41}, "40"),
        ({"count": MAX_SHARDS + 1}, "is the most"),
        ({"count": 2}, "does not hold 2 shards"),
        ({"payload": MAX_PAYLOAD + 1}, "is the most"),
        ({"payload": 5}, "4 bytes in a payload of 5"),
        ({"header": len(HEADER) + 1}, "does not hold"),
        ({"header": 2**32 - 1}, "does not hold"),
        ({"epoch": -2}, "epoch of -2"),
    ],
)
def test_lies_are_named(fields: dict[str, int], says: str) -> None:
    with pytest.raises(FrameError, match=says):
        decode_header(resealed(HEADER, **fields))


def test_other_protocols_and_names_that_are_no_text_are_refused() -> None:
    with pytest.raises(FrameError, match="not a frame"):
        decode_prefix(b"GET / HTTP/1.1\r\n" + bytes(60))
    with pytest.raises(FrameError, match="UTF-8"):
        decode_header(resealed(HEADER.replace(b"job", b"\xff\xfe\xfd")))


def test_a_lying_length_allocates_nothing() -> None:
    lies = [resealed(HEADER, payload=2**63), resealed(HEADER, count=2**32 - 1), resealed(HEADER, header=2**32 - 1)]
    tracemalloc.start()
    try:
        for lie in lies:
            with pytest.raises(FrameError):
                decode_prefix(lie)
            with pytest.raises(FrameError):
                decode_header(lie)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (FRAME._replace(job="j" * 65), "64 bytes"),
        (FRAME._replace(incarnation="ä" * 21), "40"),
        (FRAME._replace(number=-1), "does not fit"),
        (FRAME._replace(sender=2**32), "does not fit"),
        (FRAME._replace(attempt=Attempt(0, 2**40, 0)), "does not fit"),
        (FRAME._replace(shards=[Shard(-1, 0, 0, 0, [], 0)]), "does not fit"),
        (FRAME._replace(shards=[Shard(0, 0, 2**32, 0, [], 0)]), "does not fit"),
        (FRAME._replace(shards=[Shard(3, 0, 0, 0, [b"abc"], 4)]), "bucket 3 says 4 bytes and has 3"),
        (FRAME._replace(shards=[Shard(0, 0, 0, 0, [], 0)] * (MAX_SHARDS + 1)), "is the most"),
    ],
    ids=["uid", "incarnation", "number", "sender", "split", "bucket", "rows", "length", "count"],
)
def test_a_frame_that_no_receiver_would_take_is_not_encoded(frame: Frame, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        encode(frame)


def test_more_payload_than_a_frame_may_have_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_PAYLOAD", 100)
    encode(FRAME._replace(shards=[Shard(0, 0, 0, 0, [bytes(100)], 100)]))
    with pytest.raises(FrameError, match="101 bytes of shards"):
        encode(FRAME._replace(shards=[Shard(0, 0, 0, 0, [bytes(101)], 101)]))


def test_a_corrupt_shard_is_found() -> None:
    data = [b"one", b"two", b"three"]
    frame = FRAME._replace(shards=[Shard(0, i, 1, checksum([d]), [d], len(d)) for i, d in enumerate(data)])
    header = decode_header(encode(frame).header)
    assert first_corrupt(header.shards(memoryview(b"onetwothree"))) is None
    assert first_corrupt(header.shards(memoryview(b"onetwathree"))) == 1
    with pytest.raises(ValueError, match="10 bytes"):
        header.shards(memoryview(b"onetwothre"))


def test_buffers_of_any_item_size_count_in_bytes() -> None:
    numbers = np.arange(10, dtype=np.int64)
    shard = Shard(0, 0, 10, checksum([numbers.tobytes()]), [memoryview(numbers)], 80)
    assert decode_prefix(encode(FRAME._replace(shards=[shard])).header).payload == 80


def test_only_what_was_taken_is_delivered() -> None:
    assert {ack for ack in Ack if ack.delivered} == {Ack.ACCEPTED, Ack.REPEATED}


def test_the_sizes_that_receivers_rely_on() -> None:
    """A change here is a change of the protocol."""
    assert (PREFIX_SIZE, INDEX.itemsize, VERSION) == (64, 24, 4)
    known = "5348464c0400"
    assert HEADER[:6].hex() == known

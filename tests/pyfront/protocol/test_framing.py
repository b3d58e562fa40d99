# SPDX-License-Identifier: Apache-2.0
"""Frames survive any cutting of the stream, and nothing large is accepted from a stranger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.framing import (
    HEADER,
    LONG_BYTES,
    MAX_BODY_BYTES,
    MAX_STRANGER_BYTES,
    FrameDecoder,
    FrameError,
    decode_header,
    encode_frame,
    encode_header,
)

FRAMES = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=200)), max_size=8)


@given(FRAMES, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_frames_arrive_whole_however_the_stream_is_cut(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(number, body) for number, body in frames)
    decoder, got, step = FrameDecoder(), [], 0
    while stream:
        size = cuts[step % len(cuts)]
        got += decoder.feed(stream[:size])
        stream, step = stream[size:], step + 1
    assert got == frames
    assert decoder.is_at_boundary


@pytest.mark.parametrize("piece", [1 << 14, LONG_BYTES, 1 << 20])
def test_long_bodies_arrive_whole_between_short_ones(piece: int) -> None:
    bodies = [b"a", bytes(range(256)) * (LONG_BYTES // 128), b"b", b"c" * LONG_BYTES, b"d" * LONG_BYTES, b""]
    stream = b"".join(encode_header(number, body) + body for number, body in enumerate(bodies))
    decoder, got = FrameDecoder(MAX_BODY_BYTES), []
    for start in range(0, len(stream), piece):
        got += decoder.feed(stream[start : start + piece])
    assert got == list(enumerate(bodies))
    assert decoder.is_at_boundary


def test_a_long_body_that_comes_alone_is_kept_while_more_arrives() -> None:
    body, decoder = bytes(range(256)) * (LONG_BYTES // 256), FrameDecoder(MAX_BODY_BYTES)
    [(_, first)] = decoder.feed(encode_frame(1, body))
    [(_, second)] = decoder.feed(encode_frame(2, body[::-1]))
    assert (first, second) == (body, body[::-1])


def test_a_stranger_may_not_announce_a_large_frame() -> None:
    with pytest.raises(FrameError, match="limit"):
        list(FrameDecoder().feed(HEADER.pack(MAX_STRANGER_BYTES + 1, 1)))


def test_a_raised_limit_holds_from_the_next_frame_on() -> None:
    body = bytes(MAX_STRANGER_BYTES + 1)
    decoder = FrameDecoder()
    frames = decoder.feed(encode_frame(1, b"hello") + encode_frame(2, body))
    assert next(frames) == (1, b"hello")
    decoder.limit = MAX_BODY_BYTES
    assert next(frames) == (2, body)


def test_frames_before_a_bad_one_are_delivered() -> None:
    frames = FrameDecoder().feed(encode_frame(7, b"good") + b"\xff" * HEADER.size)
    assert next(frames) == (7, b"good")
    with pytest.raises(FrameError):
        next(frames)


def test_a_cut_frame_is_noticed() -> None:
    decoder = FrameDecoder()
    assert list(decoder.feed(encode_frame(1, b"abc")[:-1])) == []
    assert not decoder.is_at_boundary


def test_the_largest_legal_header_passes() -> None:
    assert decode_header(HEADER.pack(MAX_BODY_BYTES, 3)) == (MAX_BODY_BYTES, 3)

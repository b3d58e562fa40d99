# SPDX-License-Identifier: Apache-2.0
"""Frames survive any cutting of the stream, and nothing large is accepted from a stranger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.framing import (
    HEADER,
    MAX_BODY_BYTES,
    MAX_STRANGER_BYTES,
    FrameDecoder,
    FrameError,
    decode_header,
    encode_frame,
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

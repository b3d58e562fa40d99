# SPDX-License-Identifier: Apache-2.0
"""Frames on a stream: `u32 body length, u32 request id`, little-endian, then the body. Pure: bytes in, bytes out.

A reply carries the id of its request; a frame that answers nothing carries id 0. A peer is allowed small frames until
it has been welcomed, so nothing large is ever allocated for a stranger.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

HEADER = Struct("<II")
PUSH_ID = 0
LONG_BYTES = 64 * 1024  # of a body that is worth not being copied
MAX_STRANGER_BYTES = 64 * 1024
MAX_BODY_BYTES = 512 * 1024 * 1024  # a pickled function or class with everything that it closes over
MAX_REQUEST_ID = 0xFFFF_FFFF


class FrameError(ValueError):
    """The stream does not hold frames, or holds one beyond the limit. The connection is of no further use."""


def encode_frame(request_id: int, body: bytes) -> bytes:
    """One frame. Raises FrameError if the body is longer than any peer accepts."""
    return encode_header(request_id, body) + body


def encode_header(request_id: int, body: bytes) -> bytes:
    """What comes before a body, for who sends a long one without copying it. Raises FrameError as `encode_frame`."""
    if len(body) > MAX_BODY_BYTES:
        raise FrameError(f"a message of {len(body):,} bytes is over the limit of {MAX_BODY_BYTES:,}")
    return HEADER.pack(len(body), request_id)


def decode_header(header: bytes | bytearray, limit: int = MAX_BODY_BYTES) -> tuple[int, int]:
    """(body length, request id) of a frame's first bytes. Raises FrameError if the body is longer than `limit`."""
    size, request_id = HEADER.unpack(header)
    if size > limit:
        raise FrameError(f"a frame announces {size:,} bytes; the limit is {limit:,}")
    return size, request_id


class FrameDecoder:
    """Cuts a stream that arrives in pieces of any size into (request id, body)."""

    def __init__(self, limit: int = MAX_STRANGER_BYTES) -> None:
        self.limit = limit
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes | memoryview]]:
        """Add received bytes, then yield the frames that are complete; a long one that comes alone is not copied.

        `limit` is read anew for each frame: raise it as soon as the peer is trusted. Raises FrameError.
        """
        pending = self._pending
        pending += data
        start = 0
        try:
            while len(pending) - start >= HEADER.size:
                size, request_id = decode_header(pending[start : start + HEADER.size], self.limit)
                end = start + HEADER.size + size
                if len(pending) < end:
                    break
                body: bytes | memoryview = memoryview(pending)[start + HEADER.size : end]
                if size >= LONG_BYTES and end == len(pending):
                    self._pending = pending = bytearray()  # the body has the old one to itself
                    start = 0
                else:
                    body = bytes(body)
                    start = end
                yield request_id, body
        finally:
            del pending[:start]

    @property
    def is_at_boundary(self) -> bool:
        """Whether the stream could end here without cutting a frame."""
        return not self._pending

# SPDX-License-Identifier: Apache-2.0
"""What messages between a node's processes are made of: the bases of what is asked, answered and said unasked."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec


class Reply(msgspec.Struct, frozen=True, tag=True):
    """Base of what the daemon answers."""


R = TypeVar("R", bound=Reply, covariant=True)


class Request(msgspec.Struct, Generic[R], frozen=True, tag=True):
    """Base of what a client asks; `R` is the reply to expect."""


class Push(msgspec.Struct, frozen=True, tag=True):
    """Base of what the daemon says unasked."""

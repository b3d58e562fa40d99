# SPDX-License-Identifier: Apache-2.0
"""Ids as Ray has them: objects around bytes. Shoal's own functions take and give hexadecimal strings, but for the
id of a placement group (`shoal.ids`)."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T", bound="BaseID")


class BaseID:
    """An id. Equal ids of one kind are equal, and hash alike."""

    def __init__(self, binary: bytes) -> None:
        """`binary`: its bytes. Raises TypeError for anything else."""
        if not isinstance(binary, bytes):
            raise TypeError(f"an id is made of bytes, not {type(binary).__name__}; from text with from_hex()")
        self._binary = binary

    @classmethod
    def from_hex(cls: type[T], text: str) -> T:
        """The id with this text. Raises ValueError if it is not hexadecimal."""
        return cls(bytes.fromhex(text))

    @classmethod
    def nil(cls: type[T]) -> T:
        """The id of nothing."""
        return cls(b"")

    def is_nil(self) -> bool:
        """Whether it is the id of nothing."""
        return not self._binary

    def binary(self) -> bytes:
        """Its bytes."""
        return self._binary

    def hex(self) -> str:
        """Its text."""
        return self._binary.hex()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._binary == self._binary

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._binary))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"


class UniqueID(BaseID):
    """An id of any kind."""


class ActorClassID(UniqueID):
    """An actor's class."""


class ActorID(BaseID):
    """An actor."""


class FunctionID(UniqueID):
    """A remote function."""


class JobID(BaseID):
    """A driver and all it started."""


class NodeID(UniqueID):
    """A node."""


class TaskID(BaseID):
    """A task."""


class WorkerID(UniqueID):
    """A process."""

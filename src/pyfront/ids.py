# SPDX-License-Identifier: Apache-2.0
"""Names of things by content: functions, classes and methods.

A key is 16 bytes and the same in every process, so the daemon stores each function once and a worker finds a method
without a table that both sides must agree on.
"""

from __future__ import annotations

from _blake2 import blake2b  # what `hashlib` takes it from; that one loads OpenSSL, 2 ms
from typing import NewType

FunctionKey = NewType("FunctionKey", bytes)
"""Content hash of a pickled function or class."""

MethodKey = NewType("MethodKey", bytes)
"""Hash of a method's name."""

KEY_BYTES = 16


def content_key(content: bytes) -> bytes:
    """The key of anything."""
    return blake2b(content, digest_size=KEY_BYTES).digest()


def function_key(blob: bytes) -> FunctionKey:
    """The key of a function or class from its pickle."""
    return FunctionKey(content_key(blob))


def method_key(name: str) -> MethodKey:
    """The key of an actor's method from its name."""
    return MethodKey(content_key(name.encode()))


def job_id(root: int) -> str:
    """A job's id, as people see it."""
    return f"{root:08x}"


def actor_id(root: int, class_id: int) -> str:
    """An actor's id, as people see it: its job and its class."""
    return f"{root:08x}{class_id:08x}"


def worker_id(index: int, epoch: int, pid: int) -> str:
    """A process's id, as people see it: its client record, the record's incarnation, its pid."""
    return f"{index:08x}{epoch:08x}{pid:08x}"


class PlacementGroupID:
    """A placement group's id: `binary`, 16 bytes, drawn by whoever makes the group. Equal ids are equal."""

    __slots__ = ("_binary",)

    def __init__(self, binary: bytes) -> None:
        """Raises TypeError for what is no bytes."""
        if not isinstance(binary, bytes):
            raise TypeError(f"an id is made of bytes, not {type(binary).__name__}; from text with from_hex()")
        self._binary = binary

    @classmethod
    def from_hex(cls, text: str) -> PlacementGroupID:
        """The id that is shown as `text`."""
        return cls(bytes.fromhex(text))

    @classmethod
    def nil(cls) -> PlacementGroupID:
        """The id of no group."""
        return cls(bytes(KEY_BYTES))

    def hex(self) -> str:
        """The id as people see it."""
        return self._binary.hex()

    def binary(self) -> bytes:
        """The id's bytes."""
        return self._binary

    def is_nil(self) -> bool:
        """Whether this is the id of no group."""
        return not any(self._binary)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroupID) and self._binary == other._binary

    def __hash__(self) -> int:
        return hash(self._binary)

    def __repr__(self) -> str:
        return f"PlacementGroupID({self._binary.hex()})"

    def __reduce__(self) -> tuple[type[PlacementGroupID], tuple[bytes]]:
        return PlacementGroupID, (self._binary,)


def short_name(qualified: str) -> str:
    """A function's or class's name as people call it: `outer.<locals>.Class.method` is `Class.method`."""
    return qualified.rpartition("<locals>.")[2]


CONSTRUCTOR_KEY = method_key("__init__")
"""Key of the call that creates an actor."""

# SPDX-License-Identifier: Apache-2.0
"""What the one ref of a call with `num_returns="dynamic"` refers to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from shoal._core._node import ObjectRef

T = TypeVar("T")


class DynamicObjectRefGenerator(Generic[T]):
    """Refs to all that a call yielded, in order. Can be iterated again and again, and passed on like any value.

    What the one ref of a call with `num_returns="dynamic"` refers to; `refs` is the list of them. If the generator
    raised an error, the last ref raises it."""

    def __init__(self, refs: list[ObjectRef[T]]) -> None:
        self._refs = refs

    def __iter__(self) -> Iterator[ObjectRef[T]]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)

    def __repr__(self) -> str:
        return f"DynamicObjectRefGenerator({len(self)} refs)"

    def __reduce__(self) -> tuple[Any, ...]:
        return DynamicObjectRefGenerator, (self._refs,)

# SPDX-License-Identifier: Apache-2.0
"""`inspect_serializability`: what in a value keeps it from being shipped, and where it is."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from shoal.serialization.blame import Culprit, find_culprit


class FailureTuple:
    """A part of a value that cannot be pickled: `obj`, found by its `name` in `parent`, at `path`.

    Made by `inspect_serializability`. Compared by identity, as its parts may not be comparable."""

    __slots__ = ("name", "obj", "parent", "path")

    def __init__(self, obj: Any, name: str, parent: Any, path: str) -> None:
        self.obj = obj
        """The part."""
        self.name = name
        """The last step to it, e.g. `.lock`."""
        self.parent = parent
        """What it is in; None for the value itself."""
        self.path = path
        """All steps, from the name of the value on, e.g. `model['layers'][0].lock`."""

    def __repr__(self) -> str:
        return f"FailureTuple({self.path}, obj={self.obj!r}, parent={type(self.parent).__name__})"


def inspect_serializability(
    base_obj: Any, name: str | None = None, depth: int | None = None, print_file: TextIO | None = None
) -> tuple[bool, set[FailureTuple]]:
    """Whether `base_obj` can be an argument, a value or a remote function; if not, the part that cannot be pickled.

    - `name`: how to call it; default its own.
    - `depth`: steps to go down at most; default 30.
    - `print_file`: where the finding is printed; default `sys.stdout`.

    Returns whether it can, and the parts that cannot. Raises ValueError for a negative `depth`."""
    if depth is not None and depth < 0:
        raise ValueError(f"depth must be zero or more, not {depth}")
    label = name or str(getattr(base_obj, "__qualname__", type(base_obj).__name__))
    culprit = find_culprit(label, base_obj, depth)
    print(_report(label, culprit), file=print_file or sys.stdout)
    if culprit is None:
        return True, set()
    return False, {FailureTuple(culprit.value, culprit.step, culprit.parent, culprit.path)}


def _report(label: str, culprit: Culprit | None) -> str:
    if culprit is None:
        return f"{label} can be shipped."
    where = "it" if culprit.parent is None else f"{culprit.path}, of type {type(culprit.value).__name__},"
    return f"{label} cannot be shipped: {where} is to blame.\n  {culprit.error}"

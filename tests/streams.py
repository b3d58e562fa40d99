# SPDX-License-Identifier: Apache-2.0
"""Generators that several tests run, and ways for them to meet who consumes them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shoal


def meet(path: str, *, writing: bool) -> None:
    os.close(os.open(path, os.O_WRONLY if writing else os.O_RDONLY))


def note(path: Path, what: str) -> None:
    """A line at the end of a file, whoever else writes there."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{what}\n".encode())
    os.close(file)


@shoal.remote
def count(n: int) -> Iterator[int]:
    yield from range(n)


@shoal.remote
def fail_after(n: int) -> Iterator[int]:
    yield from range(n)
    raise ValueError("no more")


def values(stream: Any) -> list[Any]:
    return [shoal.get(ref) for ref in stream]

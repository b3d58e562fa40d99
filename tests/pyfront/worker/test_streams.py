# SPDX-License-Identifier: Apache-2.0
"""A worker's output: a mark where the printing task changes, lines that leave at once."""

import os
from collections.abc import Iterator

import pytest

from shoal.protocol.output import name_mark
from shoal.worker.streams import NamedStream, flush_output


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_mark_precedes_the_first_line_of_each_name(pipe: tuple[int, int]) -> None:
    name = ["a"]
    stream = NamedStream(pipe[1], lambda: name[0])
    print("one", "two", file=stream)
    print("three", file=stream)
    name[0] = "b"
    print("four", file=stream)
    marked = name_mark("a") + b"one two\nthree\n" + name_mark("b") + b"four\n"
    assert os.read(pipe[0], 1000) == marked


def test_a_mark_never_cuts_a_line(pipe: tuple[int, int]) -> None:
    name = ["a"]
    stream = NamedStream(pipe[1], lambda: name[0])
    print("begun", end="", file=stream)
    name[0] = "b"
    print(" ended", file=stream)
    assert os.read(pipe[0], 1000) == name_mark("a") + b"begun ended\n"


def test_text_that_utf8_does_not_know_is_printed_escaped(pipe: tuple[int, int]) -> None:
    stream = NamedStream(pipe[1], lambda: "")
    print("\ud800", file=stream)
    assert os.read(pipe[0], 1000) == b"\\ud800\n"


@pytest.mark.parametrize("stream", [None, object()])
def test_what_user_code_puts_in_the_place_of_a_stream_need_not_be_one(
    stream: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", stream)
    flush_output()

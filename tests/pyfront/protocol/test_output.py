# SPDX-License-Identifier: Apache-2.0
"""Marks name the lines that follow them, and no name can break out of its mark."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.output import marked_name, name_mark


@given(st.text())
def test_a_mark_is_one_line_that_gives_the_name_back(name: str) -> None:
    mark = name_mark(name)
    assert mark.count(b"\n") == 1
    assert mark.endswith(b"\n")
    read = marked_name(mark[:-1])
    assert read == name.replace("\n", " ").encode("utf-8", "replace").decode()


def test_an_ordinary_line_is_not_a_mark() -> None:
    assert marked_name(b"shoal swims") is None
    assert marked_name(b"") is None

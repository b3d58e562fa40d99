# SPDX-License-Identifier: Apache-2.0
"""Rows: items and attributes, filters, limits, details."""

from typing import Any, ClassVar

import msgspec
import pytest

from shoal.util.state.record import Record, check_query, choose


class Row(Record, frozen=True, kw_only=True):
    DETAIL: ClassVar[frozenset[str]] = frozenset({"secret"})

    name: str | None
    pid: int
    is_new: bool
    secret: str | None = None


ROWS = [
    Row(name="a", pid=1, is_new=True, secret="x"),
    Row(name="B", pid=2, is_new=False, secret="y"),
    Row(name=None, pid=3, is_new=False, secret="z"),
]


def test_a_row_has_attributes_and_items() -> None:
    row = ROWS[0]
    assert row.name == row["name"] == row.get("name") == "a"
    assert row.get("nothing", 5) == 5
    with pytest.raises(KeyError):
        row["nothing"]
    assert dict(row) == row.asdict() == {"name": "a", "pid": 1, "is_new": True, "secret": "x"}
    assert msgspec.json.decode(msgspec.json.encode(row)) == row.asdict()


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ROWS[0].pid = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("filters", "pids"),
    [
        ([], [1, 2, 3]),
        ([("name", "=", "b")], [2]),
        ([("name", "!=", "b")], [1, 3]),
        ([("pid", "=", "3")], [3]),
        ([("pid", "=", 3)], [3]),
        ([("is_new", "=", False), ("pid", "!=", 3)], [2]),
        ([("is_new", "=", "true")], [1]),
        ([("name", "=", None)], [3]),
    ],
)
def test_filters_compare_as_text(filters: list[Any], pids: list[int]) -> None:
    assert [row.pid for row in choose(ROWS, filters, 10, detail=False)] == pids


def test_a_limit_ends_the_list() -> None:
    assert [row.pid for row in choose(ROWS, None, 2, detail=False)] == [1, 2]


def test_details_are_told_when_asked_for() -> None:
    assert [row.secret for row in choose(ROWS, None, 9, detail=False)] == [None, None, None]
    assert [row.secret for row in choose(ROWS, None, 9, detail=True)] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("filters", "limit", "says"),
    [
        ([("nme", "=", 1)], 1, "'nme' is no field to filter by; the fields are: name, pid, is_new, secret"),
        ([("name", ">", 1)], 1, "a filter's predicate is = or !=, not '>'"),
        (["name=1"], 1, "a filter is a tuple like"),
        ([], 0, "limit must be at least 1, not 0"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(filters: Any, limit: int, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        check_query(Row, filters, limit)

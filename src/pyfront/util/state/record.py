# SPDX-License-Identifier: Apache-2.0
"""What a listing is made of: frozen records with attributes and items, and how they are chosen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar, TypeVar

import msgspec

Filter = tuple[str, str, Any]
"""(field, "=" or "!=", value): values are compared as text, without regard to case."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of a row: `row.name`, `row["name"]`, `row.get("name")`, `dict(row.asdict())`.

    Fields in `DETAIL` are None unless `detail=True` was given.
    """

    DETAIL: ClassVar[frozenset[str]] = frozenset()

    def __getitem__(self, name: str) -> Any:
        if name not in self.__struct_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of the field `name`; `default` if there is no such field."""
        return getattr(self, name) if name in self.__struct_fields__ else default

    def keys(self) -> Iterator[str]:
        """The names of the fields."""
        return iter(self.__struct_fields__)

    def asdict(self) -> dict[str, Any]:
        """The row as a dictionary."""
        return msgspec.structs.asdict(self)


Row = TypeVar("Row", bound=Record)


def check_query(kind: type[Record], filters: Sequence[Filter] | None, limit: int) -> None:
    """Raises ValueError for a filter that cannot be meant, or a limit below 1."""
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    for item in filters or ():
        try:
            name, predicate, _ = item
        except ValueError:
            raise ValueError(f'a filter is a tuple like ("state", "=", "RUNNING"), not {item!r}') from None
        if name not in kind.__struct_fields__:
            known = ", ".join(kind.__struct_fields__)
            raise ValueError(f"{name!r} is no field to filter by; the fields are: {known}")
        if predicate not in ("=", "!="):
            raise ValueError(f"a filter's predicate is = or !=, not {predicate!r}")


def choose(rows: Iterable[Row], filters: Sequence[Filter] | None, limit: int, *, detail: bool) -> list[Row]:
    """The first `limit` rows that all filters accept."""
    accepted = (row for row in rows if all(_accepts(row, *item) for item in filters or ()))
    return [row if detail else without_detail(row) for row in islice(accepted, limit)]


def without_detail(row: Row) -> Row:
    """The row with None in place of its details."""
    return msgspec.structs.replace(row, **dict.fromkeys(row.DETAIL)) if row.DETAIL else row


def _accepts(row: Record, name: str, predicate: str, value: Any) -> bool:
    is_equal = _text(row[name]) == _text(value)
    return is_equal if predicate == "=" else not is_equal


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower()

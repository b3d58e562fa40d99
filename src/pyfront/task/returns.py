# SPDX-License-Identifier: Apache-2.0
"""What a call returns: a fixed number of refs, a stream of them, or one ref to all that it yields.

As a code it is one integer, which travels in an actor's table of methods: the number; -1 for "dynamic"; -2 - n for
"streaming" with at most n items ahead of the consumer, n = 0 for any number."""

from typing import Any, NamedTuple

from shoal._core._node import RETURNS_DYNAMIC, RETURNS_STREAM

STREAMING = "streaming"
DYNAMIC = "dynamic"
DYNAMIC_CODE = -1
STREAMING_CODE = -2
MAX_RETURNS = MAX_AHEAD = 2**28 - 1  # returns are numbered below the items of streams (store/entry.h)


class Returns(NamedTuple):
    """What a function or method declares to return."""

    num_returns: int | str | None = None
    """A number, "streaming", "dynamic", or None: "streaming" for a generator function, else 1."""
    max_items_ahead: int | None = None

    def code(self, name: str, *, is_generator: bool) -> int:
        """The code of these returns for a function; raises ValueError where they do not fit it."""
        num_returns = self.num_returns
        if num_returns is None:
            num_returns = STREAMING if is_generator else 1
        if num_returns == STREAMING:
            return STREAMING_CODE - (self.max_items_ahead or 0)
        if self.max_items_ahead is not None:
            raise ValueError(f"{name}: max_items_ahead bounds a stream, but num_returns={num_returns!r} makes none")
        if num_returns == DYNAMIC:
            return DYNAMIC_CODE
        if is_generator and int(num_returns) < 2:
            raise ValueError(
                f"{name} is a generator: num_returns={num_returns} is not possible; leave it out for a stream of refs, "
                'or give "dynamic" for one ref to a list of refs, or the number of yields'
            )
        return int(num_returns)


def returns_of(code: int) -> Returns:
    """What a code means."""
    if code >= 0:
        return Returns(code)
    return Returns(DYNAMIC) if code == DYNAMIC_CODE else Returns(STREAMING, STREAMING_CODE - code or None)


def for_template(code: int) -> dict[str, Any]:
    """The arguments of a CallTemplate."""
    if code >= 0:
        return {"num_returns": code}
    if code == DYNAMIC_CODE:
        return {"num_returns": RETURNS_DYNAMIC}
    return {"num_returns": RETURNS_STREAM, "max_items_ahead": STREAMING_CODE - code}


def check_num_returns(value: object) -> int | str | None:
    """Refuse what cannot be `num_returns`: TypeError, ValueError."""
    if value is None or value in (STREAMING, DYNAMIC):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f'num_returns must be an integer, "streaming" or "dynamic", not {value!r}')
    if value < 0:
        raise ValueError(f"num_returns must be zero or more, not {value}")
    if value > MAX_RETURNS:
        raise ValueError(f"num_returns must be at most {MAX_RETURNS:,}, not {value:,}")
    return value


def check_items_ahead(option: str, value: object) -> int | None:
    """Refuse what cannot be `max_items_ahead`; Ray's -1 is None, any number. TypeError, ValueError."""
    if value is None or value == -1:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{option} must be a number of items, not {value!r}")
    if not 0 < value <= MAX_AHEAD:
        raise ValueError(f"{option} must be from 1 to {MAX_AHEAD:,}, or None for any number, not {value}")
    return value

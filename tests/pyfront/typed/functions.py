# SPDX-License-Identifier: Apache-2.0
"""What mypy, with the plugin or without, and pyright see of remote functions.

A line that ends in `# wrong` is refused."""

from collections.abc import Iterator
from typing import Any

from typing_extensions import assert_type

import shoal
from shoal import DynamicObjectRefGenerator, ObjectRef, ObjectRefGenerator


@shoal.remote
def text(x: int, y: int = 1) -> str:
    return str(x + y)


@shoal.remote(num_cpus=2)
def number(x: str, *, scale: float = 1.0) -> float:
    return float(x) * scale


@shoal.remote(num_returns=2)
def pair(x: int) -> tuple[int, int]:
    return x, x


@shoal.remote
def stream(n: int) -> Iterator[int]:
    yield from range(n)


# -- parameters

text.remote(1)
text.remote(1, 2)
text.remote(x=1, y=2)
number.remote("1", scale=2.0)
text.remote("a")  # wrong
text.remote(1, "a")  # wrong
text.remote()  # wrong
text.remote(1, z=2)  # wrong
number.remote("1", 2.0)  # wrong
pair.remote("a")  # wrong
stream.remote("a")  # wrong
text.options(num_cpus=2).remote("a")  # wrong
text.options(num_returns=2).remote("a")  # wrong

# -- refs in their place

ref = stream.remote(1)
item: ObjectRef[int] = next(ref)
text.remote(item)
text.remote(1, item)
text.remote(item, item)

# -- results

assert_type(text.remote(1), ObjectRef[str])
assert_type(shoal.get(text.remote(1)), str)
assert_type(shoal.get([text.remote(1)]), list[str])
assert_type(shoal.get(number.remote("1"), timeout=1), float)
assert_type(text.options(num_cpus=2).remote(1), ObjectRef[str])
assert_type(pair.remote(1), list[ObjectRef[Any]])
assert_type(text.options(num_returns=2).remote(1), list[ObjectRef[Any]])
assert_type(stream.remote(1), ObjectRefGenerator[int])
assert_type(stream.options(max_items_ahead=2).remote(1), ObjectRefGenerator[int])
assert_type([shoal.get(each) for each in stream.remote(1)], list[int])
assert_type(stream.options(num_returns="dynamic").remote(1), ObjectRef[DynamicObjectRefGenerator[Any]])
assert_type(shoal.put([1]), ObjectRef[list[int]])
assert_type(shoal.wait([text.remote(1)])[0], list[ObjectRef[str]])
number.remote(shoal.get(stream.remote(1).completed()))  # wrong
flag: int = shoal.get(text.remote(1))  # wrong


async def awaiting() -> None:
    assert_type(await text.remote(1), str)
    async for each in stream.remote(1):
        assert_type(await each, int)

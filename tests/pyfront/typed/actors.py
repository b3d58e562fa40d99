# SPDX-License-Identifier: Apache-2.0
"""What mypy sees of actors with `shoal.mypy_plugin`. A line that ends in `# wrong` is refused."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from typing_extensions import assert_type

import shoal
from shoal import ActorHandle, ObjectRef, ObjectRefGenerator


class Plain:
    def __init__(self, start: int = 0) -> None:
        self.n = start

    def add(self, k: int = 1) -> int:
        return self.n + k

    async def later(self, name: str) -> float:
        return float(name)

    def items(self, n: int) -> Iterator[str]:
        yield str(n)

    async def items_later(self) -> AsyncIterator[bytes]:
        yield b""

    @shoal.method(num_returns=2)
    def two(self) -> tuple[int, int]:
        return 1, 2

    @shoal.method(concurrency_group="io")
    def one(self) -> int:
        return 1

    @classmethod
    def of_class(cls, x: int) -> str:
        return str(x)

    @staticmethod
    def of_nothing(x: int) -> bytes:
        return bytes(x)


Counter = shoal.remote(Plain)
counter = Counter.options(name="c").remote(3)

assert_type(counter, ActorHandle[Plain])
assert_type(counter.add.remote(2), ObjectRef[int])
assert_type(counter.later.remote("1"), ObjectRef[float])
assert_type(counter.items.remote(2), ObjectRefGenerator[str])
assert_type(counter.items_later.remote(), ObjectRefGenerator[bytes])
assert_type(counter.two.remote(), list[ObjectRef[Any]])
assert_type(counter.one.remote(), ObjectRef[int])
assert_type(counter.of_class.remote(1), ObjectRef[str])
assert_type(counter.of_nothing.remote(1), ObjectRef[bytes])
assert_type(counter.add.options(num_returns=2).remote(1), list[ObjectRef[Any]])
assert_type(shoal.get(counter.add.remote(counter.add.remote(k=1))), int)
counter.add.remote("a")  # wrong
counter.later.remote()  # wrong
counter.add.remote(counter.later.remote("1"))  # wrong
counter.subtract.remote(1)  # wrong


@shoal.remote
class Decorated:
    def f(self, x: int) -> str:
        return str(x)


@shoal.remote(num_cpus=1)
class WithOptions:
    def f(self, x: int) -> str:
        return str(x)


assert_type(Decorated.remote().f.remote(1), ObjectRef[str])
assert_type(Decorated.options(name="d").remote().f.remote(1), ObjectRef[str])
assert_type(WithOptions.remote().f.remote(1), ObjectRef[str])
Decorated.remote().f.remote("a")  # wrong


# -- refs in their place, by name too, with their types


@shoal.remote
def text(x: int, y: int = 1) -> str:
    return str(x + y)


text.remote(x=counter.add.remote(1))
text.remote(1, y=counter.add.remote(1))
text.remote(text.remote(1))  # wrong
text.remote(x=counter.later.remote("1"))  # wrong


async def awaiting(handle: ActorHandle[Plain]) -> None:
    assert_type(await handle.later.remote("1"), float)

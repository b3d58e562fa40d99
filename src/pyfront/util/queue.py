# SPDX-License-Identifier: Apache-2.0
"""`Queue`: a first-in, first-out queue that tasks, actors and drivers share. It is an actor.

Whoever waits, waits as a call in flight at the actor, without a thread and without a CPU: items that do not fit wait
there with their calls, and go in in the order in which they came. Expected outcomes come back as values, so that
`Empty` and `Full` are raised where the call was made.

A `get` that its caller gives up (Ctrl-C, a cancelled `get_async`) is withdrawn; if it had an item already, that goes
back to the front. A process that is killed while it waits in `get` may take one item with it."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import queue
from collections import OrderedDict, deque
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Generic, TypeVar

from shoal._core._node import ObjectRef
from shoal.actor import ActorHandle
from shoal.actor_exit import exit_actor
from shoal.api import get, kill, remote, wait
from shoal.errors import ShoalError

T = TypeVar("T")

__all__ = ["Empty", "Full", "Queue"]

MOST_CALLS = 2**31 - 1  # in flight: those that wait must not keep out the ones that they wait for


class Empty(queue.Empty):
    """Nothing came into the queue in time. Also a `queue.Empty`."""


class Full(queue.Full):
    """No room came free in the queue in time. Also a `queue.Full`."""


class Queue(Generic[T]):
    """A first-in, first-out queue. It can be passed to tasks and actors; it ends when the last copy is gone."""

    def __init__(self, maxsize: int = 0, actor_options: Mapping[str, Any] | None = None) -> None:
        """`maxsize`: items at most; zero, the default, or less: any number. `actor_options`: of the actor, as of
        `shoal.remote` for classes, e.g. `{"name": "jobs"}`.

        Raises TypeError for a `maxsize` that is no number, and what `.options()` of an actor's class raises."""
        if isinstance(maxsize, bool) or not isinstance(maxsize, int):
            raise TypeError(f"maxsize must be a whole number, not {maxsize!r}")
        self.maxsize = maxsize
        options = {"max_concurrency": MOST_CALLS, **(actor_options or {})}
        self.actor: ActorHandle[Any] = remote(QueueActor).options(**options).remote(maxsize)

    # -- how full it is

    def __len__(self) -> int:
        return self.qsize()

    def qsize(self) -> int:
        """The number of items in it."""
        size: int = get(self.actor.qsize.remote())
        return size

    def size(self) -> int:
        """The same as `qsize`."""
        return self.qsize()

    def empty(self) -> bool:
        """Whether it has no items."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether a `put` would wait. Never true without a `maxsize`."""
        return 0 < self.maxsize <= self.qsize()

    # -- putting

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put `item` in, waiting for room if `block`, at most `timeout` seconds (None, the default: any time).

        A ref goes in as its value, once that is there; a list of refs as it is. Raises Full, ValueError for a negative
        `timeout`, SerializationError, ActorDiedError if the queue was shut down."""
        if not get(self.actor.put.remote(item, _patience(block, timeout))):
            raise Full(f"the queue has no room; it takes {self.maxsize} items")

    async def put_async(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """As `put`, for coroutines: `item`, `block` and `timeout` are the same, and the errors.

        Cancelling it does not take the item back."""
        if not await self.actor.put.remote(item, _patience(block, timeout)):
            raise Full(f"the queue has no room; it takes {self.maxsize} items")

    def put_nowait(self, item: T) -> None:
        """Put `item` in now. Raises Full, and what `put` raises."""
        self.put(item, block=False)

    def put_nowait_batch(self, items: Iterable[T]) -> None:
        """Put several `items` in now, in their order: all of them, or none. Raises Full, TypeError for no iterable."""
        if not isinstance(items, Iterable):
            raise TypeError(f"put_nowait_batch takes a list of items, not {type(items).__name__}")
        batch = list(items)
        if not get(self.actor.put_batch.remote(batch)):
            raise Full(f"the queue has no room for {len(batch)} items; it takes {self.maxsize}")

    # -- getting

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the oldest item, waiting for one if `block`, at most `timeout` seconds (None, the default: any time).

        Raises Empty, ValueError for a negative `timeout`, ActorDiedError if the queue was shut down."""
        token = _next_token()
        ref = self.actor.get.remote(_patience(block, timeout), token)
        try:
            found: tuple[T] | None = get(ref)
        except ShoalError:
            raise
        except BaseException:  # of a signal's handler: Ctrl-C, an alarm
            self._withdraw(token, ref)
            raise
        return _item_of(found)

    async def get_async(self, block: bool = True, timeout: float | None = None) -> T:
        """As `get`, for coroutines: `block` and `timeout` are the same, and the errors. Cancelling it loses no item."""
        token = _next_token()
        ref = self.actor.get.remote(_patience(block, timeout), token)
        try:
            found: tuple[T] | None = await ref
        except asyncio.CancelledError:
            self._withdraw(token, ref)
            raise
        return _item_of(found)

    def get_nowait(self) -> T:
        """Take the oldest item. Raises Empty."""
        return self.get(block=False)

    def get_nowait_batch(self, num_items: int) -> list[T]:
        """Take `num_items` items, in their order. Raises Empty if there are fewer, TypeError for no whole number,
        ValueError for one below zero."""
        if isinstance(num_items, bool) or not isinstance(num_items, int):
            raise TypeError(f"num_items must be a whole number, not {num_items!r}")
        if num_items < 0:
            raise ValueError(f"num_items must be zero or more, not {num_items}")
        found: list[T] | None = get(self.actor.get_batch.remote(num_items))
        if found is None:
            raise Empty(f"the queue has fewer than {num_items} items")
        return found

    # -- the end

    def shutdown(self, force: bool = False, grace_period_s: float = 5) -> None:
        """End the queue; what is in it is lost, and whoever waits gets ActorDiedError. Repeating it has no effect.

        `force`: without letting calls before this one end; default no. `grace_period_s`: seconds to wait for those;
        default 5."""
        if not force:
            wait([self.actor.close.remote()], timeout=grace_period_s)
        kill(self.actor)

    def _withdraw(self, token: Token, ref: ObjectRef[Any]) -> None:
        """Nobody waits for this `get` any more."""
        self.actor.withdraw.remote(token)
        self.actor.put_back.remote(ref)  # starts when the `get` is over: with the item that it took, or with none


Token = tuple[int, int]
"""Names one `get` among all of the node's: process, and number there."""

_numbers = itertools.count()


def _next_token() -> Token:
    return os.getpid(), next(_numbers)


def _patience(block: bool, timeout: float | None) -> float | None:
    """Seconds to wait; None: without limit."""
    if not block:
        return 0.0
    if timeout is not None and timeout < 0:
        raise ValueError(f"timeout must be zero or more seconds, or None to wait without limit, not {timeout}")
    return timeout


def _item_of(found: tuple[T] | None) -> T:
    if found is None:
        raise Empty("the queue has no items")
    return found[0]


class QueueActor:
    """The items, and who waits. Methods that need not wait answer at once; the others give a coroutine."""

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._items: deque[Any] = deque()
        self._getters: OrderedDict[Token, asyncio.Future[tuple[Any] | None]] = OrderedDict()  # only if there is no item
        self._putters: OrderedDict[asyncio.Future[bool], Any] = OrderedDict()  # with their items; only if it is full

    def qsize(self) -> int:
        """The number of items."""
        return len(self._items)

    def waiting(self) -> dict[str, int]:
        """How many calls of `get` and of `put` wait."""
        return {"get": len(self._getters), "put": len(self._putters)}

    def put(self, item: object, patience: float | None) -> bool | Coroutine[Any, Any, bool]:
        """True; False if there was no room within `patience` seconds."""
        if self._room() >= 1:
            self._add(item)
            return True
        return False if patience == 0 else self._wait_for_room(item, patience)

    def put_batch(self, items: list[Any]) -> bool:
        """Whether there was room for all of them."""
        if self._room() < len(items):
            return False
        for item in items:
            self._add(item)
        return True

    def get(self, patience: float | None, token: Token) -> tuple[Any] | Coroutine[Any, Any, tuple[Any] | None] | None:
        """The oldest item, in a tuple; None if there was none within `patience` seconds, or `withdraw` was called."""
        if self._items:
            return (self._take(),)
        return None if patience == 0 else self._wait_for_item(token, patience)

    def get_batch(self, n_items: int) -> list[Any] | None:
        """So many items, or None if there are fewer."""
        return None if len(self._items) < n_items else [self._take() for _ in range(n_items)]

    def withdraw(self, token: Token) -> None:
        """End the waiting of one `get`, if it waits."""
        waiter = self._getters.pop(token, None)
        if waiter is not None:
            waiter.set_result(None)

    def put_back(self, found: tuple[Any] | None) -> None:
        """What a `get` returned to nobody goes to whoever is next. The queue may hold one item too many for a while."""
        if found is not None:
            self._add(found[0], at_front=True)

    async def close(self) -> None:
        """End this actor; who waits for an item gets an error."""
        exit_actor()

    # -- inside

    def _room(self) -> float:
        """How many more items can be taken at once."""
        return math.inf if self._maxsize <= 0 else self._maxsize - len(self._items) + len(self._getters)

    def _add(self, item: object, at_front: bool = False) -> None:
        if self._getters:
            self._getters.popitem(last=False)[1].set_result((item,))
        elif at_front:
            self._items.appendleft(item)
        else:
            self._items.append(item)

    def _take(self) -> Any:
        item = self._items.popleft()
        if self._putters and self._room() >= 1:
            waiter, waiting = self._putters.popitem(last=False)
            self._items.append(waiting)
            waiter.set_result(True)
        return item

    # Who waits is listed before anything else runs on the loop: a coroutine of its own would begin later.

    def _wait_for_item(self, token: Token, patience: float | None) -> Coroutine[Any, Any, tuple[Any] | None]:
        loop = asyncio.get_running_loop()
        waiter = self._getters[token] = loop.create_future()
        return _outcome(waiter, None if patience is None else loop.call_later(patience, self.withdraw, token))

    def _wait_for_room(self, item: object, patience: float | None) -> Coroutine[Any, Any, bool]:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._putters[waiter] = item
        return _outcome(waiter, None if patience is None else loop.call_later(patience, self._refuse, waiter))

    def _refuse(self, waiter: asyncio.Future[bool]) -> None:
        if waiter in self._putters:
            del self._putters[waiter]
            waiter.set_result(False)


async def _outcome(waiter: asyncio.Future[T], timer: asyncio.TimerHandle | None) -> T:
    found = await waiter
    if timer is not None:
        timer.cancel()
    return found

# SPDX-License-Identifier: Apache-2.0
"""An object's record, and the refs to it: an entry lives as long as any ref does.

`InlineRef` and `InlineStream` are ObjectRef and ObjectRefGenerator to everybody; where those ask the core, these ask
the client that made them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from shoal._core._node import ObjectRef, ObjectRefGenerator
from shoal.inline.payload import Encoded

if TYPE_CHECKING:
    from shoal.inline.client import InlineClient

ID_BYTES = 16
GENERATION = 1  # of every entry and task: their indices are not used again


class TaskMark(NamedTuple):
    """Which task: all that an object needs to know of it, and all that it keeps of one that is over."""

    number: int  # the engine finds it by
    is_actor_call: bool
    task_id: bytes


class Entry:
    """One object: a promise until it is resolved, to a value or to the way its error is made."""

    __slots__ = ("__weakref__", "error", "index", "is_end", "object_id", "on_free", "order", "task", "tells", "value")

    def __init__(self, index: int, object_id: bytes, task: TaskMark | None) -> None:
        self.index = index
        self.object_id = object_id
        self.task = task  # whose return it is; None: it was put
        self.order = 0  # the how manieth of all entries to be resolved; 0: it is a promise
        self.value: Encoded | None = None
        self.error: Callable[[], BaseException] | None = None
        self.is_end = False  # of a stream's last entry, which is nobody's item
        self.tells: list[Callable[[], None]] = []  # to be called, once, when it is resolved
        self.on_free: Callable[[], None] | None = None

    def __del__(self) -> None:
        if self.on_free is not None:
            self.on_free()


class InlineRef(ObjectRef[Any]):
    """A reference to an entry."""

    __slots__ = ("client", "entry")

    def __init__(self, client: InlineClient, entry: Entry) -> None:
        self.client = client
        self.entry = entry

    @property
    def index(self) -> int:
        return self.entry.index

    @property
    def generation(self) -> int:
        return GENERATION

    def binary(self) -> bytes:
        self.client.check()
        return self.entry.object_id

    def pickled_alone(self) -> tuple[Any, ...]:
        return _imported, (self.client.export_ref(self),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InlineRef) and other.entry is self.entry

    def __hash__(self) -> int:
        return hash(self.entry.object_id)

    def __repr__(self) -> str:
        return "ObjectRef(closed)" if self.client.is_closed else f"ObjectRef({self.hex()})"

    def __await__(self) -> Generator[Any, None, Any]:
        from shoal.asyncio_bridge import await_ref

        return await_ref(self)

    def future(self) -> Future[Any]:
        from shoal.asyncio_bridge import future_of

        return future_of(self)


def _imported(token: bytes) -> ObjectRef[Any]:
    from shoal.runtime import connected

    location = connected().calls.import_ref(token)
    return connected().client.adopt(location.index, location.generation)


class Items:
    """What a stream's producer has made and its consumer has not taken. Guarded by the engine's lock."""

    def __init__(self, tail: Entry, done: Entry, ahead: int) -> None:
        self.waiting: deque[Entry] = deque([tail])  # the last one is the promise of the next item, or the end
        self.done = done
        self.ahead = ahead  # items that may lie here; 0: any number
        self.n_made = 0
        self.is_wanted = True
        self.source: Iterator[Any] | None = None  # the generator, of a call that is run item by item
        self.permit: Entry | None = None  # resolved when an item may be made again

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ()  # they are never to blame for what cannot be pickled

    @property
    def has_room(self) -> bool:
        """Whether another item may be made before one is taken."""
        return not self.ahead or len(self.waiting) - 1 < self.ahead


class InlineStream(ObjectRefGenerator[Any]):
    """A stream's consumer."""

    __slots__ = ("client", "items")

    def __init__(self, client: InlineClient, items: Items) -> None:
        self.client = client
        self.items = items

    def __next__(self) -> ObjectRef[Any]:
        while (cell := self.pending()) is not None:
            self.client.wait_for(cell)
            item = self.take(cell)
            if item is not None:
                return item
        raise StopIteration

    def __anext__(self) -> Coroutine[Any, Any, ObjectRef[Any]]:
        from shoal.asyncio_bridge import next_item

        return next_item(self)

    def completed(self) -> ObjectRef[None]:
        return InlineRef(self.client, self.items.done)

    def pending(self) -> ObjectRef[Any] | None:
        self.client.check()
        waiting = self.items.waiting
        return InlineRef(self.client, waiting[0]) if waiting else None

    def take(self, item: ObjectRef[Any]) -> ObjectRef[Any] | None:
        assert isinstance(item, InlineRef)
        return self.client.take_item(self.items, item)

    def next_ready(self) -> bool:
        return self._head_is_end() is False

    def is_finished(self) -> bool:
        return self._head_is_end() is True

    def _head_is_end(self) -> bool | None:
        """Whether the next entry ends the stream, having made it if this thread may; None: nobody knows yet."""
        cell = self.pending()
        if cell is None:
            return True
        assert isinstance(cell, InlineRef)
        return cell.entry.is_end if self.client.look(cell) else None

    def close(self) -> None:
        self.client.close_stream(self.items)

    def __del__(self) -> None:
        self.client.drop_stream(self.items)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an ObjectRefGenerator has one consumer, the process that made the call, and cannot be passed on or "
            "stored: pass the refs that it yields, or have the other task or actor make the call"
        )

    def __repr__(self) -> str:
        if self.client.is_closed:
            return "ObjectRefGenerator(closed)"
        return f"ObjectRefGenerator({self.items.done.object_id.hex()})"

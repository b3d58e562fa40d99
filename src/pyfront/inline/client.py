# SPDX-License-Identifier: Apache-2.0
"""The seam's client, without a node: objects in a table of this process, waits that run what they wait for."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from shoal._core import status
from shoal._core._node import RETURNS_STREAM, Client, ObjectRef
from shoal.errors import TaskCancelledError
from shoal.inline.engine import Engine
from shoal.inline.entry import GENERATION, Entry, InlineRef, Items, TaskMark
from shoal.inline.payload import Encoded, decode, encode
from shoal.inline.task import Arguments, InlineTask, InlineTemplate
from shoal.serialization.failure import decode_error

if TYPE_CHECKING:
    from shoal.node_calls import NodeCalls
    from shoal.seam import NodeClient

NO_LIMIT_S = 1e9
NUMBER_PUT = 1 << 31  # objects of a task that are not returned: numbers from here on
COUNTER_BYTES = 12


class InlineClient:
    """Objects and calls of one connection. Any thread."""

    index = 0
    epoch = 1
    should_exit = False

    def __init__(self, root: int) -> None:
        self.is_closed = False
        self.is_forked = False
        self.calls: NodeCalls  # set by whoever connects
        self.engine = Engine(self)
        self.lock = self.engine.lock
        self._root = root.to_bytes(4, "little")
        self._numbers = count(1)
        self._orders = count(1)
        self._entries: WeakValueDictionary[int, Entry] = WeakValueDictionary()
        self._exported: dict[bytes, InlineRef] = {}
        self._tells: deque[Callable[[], None]] = deque()  # due

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ()  # it is never to blame for what cannot be pickled

    def check(self) -> None:
        """Raises NotConnectedError, ForkedProcessError: the connection is of no use any more."""
        if self.is_closed:
            raise status.Closed("this connection was closed; call shoal.init() again")
        if self.is_forked:
            raise status.Forked("this connection belongs to the parent process; call shoal.init() in the child")

    def own(self, ref: object, what: str = "an argument") -> InlineRef:
        """`ref`, if it is of this connection. Raises InvalidReferenceError."""
        if isinstance(ref, InlineRef) and ref.client is self:
            return ref
        raise status.Invalid(f"{what} is an ObjectRef of an earlier connection")

    # -- objects

    def new_entry(self, task: TaskMark | None = None, number: int | None = None) -> Entry:
        """A promise: the return or item of this number of a task, or what the calling code puts."""
        index = next(self._numbers)
        if task is None or number is None:
            here = self.engine.here.task
            task_id = self._root + bytes(COUNTER_BYTES) if here is None else here.id
            number = NUMBER_PUT + index % NUMBER_PUT
        else:
            task_id = task.task_id
        entry = self._entries[index] = Entry(index, task_id + number.to_bytes(4, "little"), task)
        return entry

    def _new_id(self) -> bytes:
        return self._root + next(self._numbers).to_bytes(COUNTER_BYTES, "little")

    def _ref_to(self, encoded: Encoded) -> InlineRef:
        entry = self.new_entry()
        self.resolve(entry, encoded)
        return InlineRef(self, entry)

    def put(self, value: object) -> ObjectRef[Any]:
        """As Client.put."""
        self.check()
        if isinstance(value, ObjectRef):
            raise TypeError(
                "put of an ObjectRef: it names an object that is stored already; put a list to store the ref"
            )
        return self._ref_to(encode(value))

    def put_error(self, payload: bytes, refs: list[ObjectRef[Any]]) -> ObjectRef[Any]:
        """As Client.put_error."""
        entry = self.new_entry()
        self.resolve(entry, error=partial(decode_error, payload, refs))
        return InlineRef(self, entry)

    def resolve(self, entry: Entry, value: Encoded | None = None, error: Any = None) -> None:
        """Give a promise its value or error, once, and tell who waits."""
        with self.lock:
            if entry.order:
                return
            entry.value, entry.error = value, error
            entry.order = next(self._orders)
            self._tells += entry.tells
            entry.tells = []
            self.engine.changed.notify_all()

    def tell_all(self) -> None:
        """Call back who asked to be told. Not under the lock: what they do is their own."""
        while self._tells:
            with suppress(IndexError):
                self._tells.popleft()()

    def value_of(self, entry: Entry) -> Any:
        """A copy of a resolved value. Raises the error that is there instead."""
        if entry.error is not None:
            raise entry.error()
        return None if entry.value is None else decode(entry.value)

    def create(self, nbytes: int) -> Any:
        """As Client.create, in private memory."""
        self.check()
        return Buffer(nbytes)

    def seal_array(self, buffer: Any, describe: tuple[Any, ...]) -> ObjectRef[Any]:
        """As Client.seal_array; it copies."""
        import numpy

        dtype, shape, order = describe
        return self.put(numpy.frombuffer(bytes(buffer.view), dtype=dtype).reshape(shape, order=order))

    def adopt(self, index: int, generation: int) -> ObjectRef[Any]:
        """As Client.adopt."""
        entry = self._entries.get(index)
        if entry is None or generation != GENERATION:
            raise status.Invalid(f"there is no object {index}")
        return InlineRef(self, entry)

    def share(self, ref: ObjectRef[Any]) -> None:
        """As Client.share: nobody counts."""

    def export_ref(self, ref: InlineRef) -> bytes:
        """Keep the object until the connection ends -> what finds it again."""
        self.check()
        token = self.calls.export_ref(ref)
        self._exported[ref.entry.object_id] = ref
        return token

    def exported(self, object_id: bytes) -> InlineRef | None:
        """The ref of an object that was exported."""
        return self._exported.get(object_id)

    # -- waits

    def get(self, ref: Any, timeout_s: float | None = None) -> Any:
        """As Client.get."""
        self.check()
        own = self.own(ref, "this")
        if not own.entry.order:
            self._wait([own.entry], 1, timeout_s, lambda: f"{ref!r} was not ready within {timeout_s} s")
        else:
            _deadline(timeout_s)
        return self.value_of(own.entry)

    def get_many(self, refs: Sequence[Any], timeout_s: float | None = None) -> list[Any]:
        """As Client.get_many."""
        self.check()
        for at, ref in enumerate(refs):
            if not isinstance(ref, ObjectRef):
                raise TypeError(f"get takes a list of ObjectRefs; element {at} is of type {type(ref).__name__}")
        entries = [self.own(ref, f"element {at}").entry for at, ref in enumerate(refs)]
        deadline = _deadline(timeout_s)
        for entry in entries:
            while not entry.order:
                for failed in (other for other in entries if other.order and other.error is not None):
                    raise failed.error()  # type: ignore[misc]  # filtered above
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                promises = [other for other in entries if not other.order]
                self._wait(promises, 1, left, lambda: f"a ref of the list was not ready within {timeout_s} s")
        return [self.value_of(entry) for entry in entries]

    def wait(
        self, refs: Sequence[Any], num_returns: int, timeout_s: float | None = None
    ) -> tuple[list[Any], list[Any]]:
        """As Client.wait."""
        self.check()
        _deadline(timeout_s)
        seen: set[Entry] = set()
        for at, ref in enumerate(refs):
            if not isinstance(ref, ObjectRef):
                raise TypeError(f"wait() takes a list of ObjectRefs; element {at} is of type {type(ref).__name__}")
            entry = self.own(ref, f"element {at}").entry
            if entry in seen:
                raise ValueError(f"wait() takes different ObjectRefs; element {at}, {ref!r}, is there twice")
            seen.add(entry)
        entries = [ref.entry for ref in refs]
        if sum(entry.order > 0 for entry in entries) < num_returns:
            with suppress(status.Timeout):
                self._wait(entries, num_returns, timeout_s, str)
        else:
            _deadline(timeout_s)  # as `get` does: a bad one is refused anyway
        orders = sorted(entry.order for entry in entries if entry.order)[:num_returns]
        last = orders[-1] if orders else 0
        ready = [ref for ref in refs if 0 < ref.entry.order <= last]
        return ready, [ref for ref in refs if not 0 < ref.entry.order <= last]

    def wait_for(self, ref: ObjectRef[Any]) -> None:
        """Wait until it is resolved."""
        assert isinstance(ref, InlineRef)
        self._wait([ref.entry], 1, None, str)

    def look(self, ref: ObjectRef[Any]) -> bool:
        """Whether it is resolved, having run what would resolve it if that can be run on this thread."""
        assert isinstance(ref, InlineRef)
        with suppress(status.Timeout):
            self._wait([ref.entry], 1, 0, str)
        return ref.entry.order > 0

    def _wait(self, entries: list[Entry], n_wanted: int, timeout_s: float | None, explain: Any) -> None:
        if not self.engine.wait(entries, n_wanted, _deadline(timeout_s)):
            raise status.Timeout(explain())

    def is_resolved(self, ref: ObjectRef[Any]) -> bool:
        """As Client.is_resolved; looks as `look` does, or who asks in a loop would wait for ever."""
        self.check()
        own = self.own(ref, "this")
        return own.entry.order > 0 or self.look(own)

    def is_over(self, index: int, generation: int) -> bool:
        """As Client.is_over."""
        self.check()
        entry = self._entries.get(index)
        return entry is None or entry.order > 0

    def notify(self, ref: ObjectRef[Any], tell: Any) -> bool:
        """Call `tell` when `ref` is resolved. True: it is, and `tell` is not called."""
        own = self.own(ref, "this")
        if self.look(own):
            return True
        with self.lock:
            if own.entry.order:
                return True
            own.entry.tells.append(tell)
        return False

    def forget(self, ref: ObjectRef[Any], tell: Any) -> None:
        """Undo `notify`."""
        with self.lock, suppress(ValueError):
            self.own(ref, "this").entry.tells.remove(tell)

    # -- calls: what hosts of calls ask of the core's Client

    def new_task(self, template: InlineTemplate, arguments: Arguments) -> InlineTask:
        """A call that is not submitted yet, with promises for what it returns."""
        task = InlineTask(self, template, arguments, next(self._numbers), self._new_id())
        mark = TaskMark(task.index, template.is_actor_call, task.id)
        task.returns = [self.new_entry(mark, number) for number in range(template.n_entries)]
        if template.num_returns == RETURNS_STREAM:
            task.items = Items(self.new_entry(mark, 1), task.returns[0], template.max_items_ahead)
        return task

    def task_of(self, ref: ObjectRef[Any]) -> tuple[int, int, bool] | None:
        """As Client.task_of."""
        mark = self.own(ref, "this").entry.task
        return None if mark is None else (mark.number, GENERATION, mark.is_actor_call)

    def finish(self, task: InlineTask, values: Sequence[object]) -> bool:
        """Give a call its values. Raises SerializationError, and then the call is not over."""
        if task.is_over:
            raise status.Invalid("this task was finished before")
        encoded = [encode(value) for value in values]
        if self.surrender(task):
            return False
        with self.lock:
            for entry, value in zip(task.returns, encoded, strict=False):  # none, if it has ended meanwhile
                self.resolve(entry, value)
            self.engine.end(task)
        self.tell_all()
        return True

    def fail(self, task: InlineTask, payload: bytes, refs: list[ObjectRef[Any]]) -> bool:
        """Give a call an error instead."""
        return self.fail_with(task, partial(decode_error, payload, refs))

    def fail_with(self, task: InlineTask, error: Any) -> bool:
        """The same, with what makes the error."""
        with self.lock:
            if task.is_over:
                return False
            if task.items is not None and task.items.waiting:
                self._add_item(task.items, task.items.waiting[-1], error=error)
                self._end_items(task.items)
            for entry in task.returns:
                self.resolve(entry, error=error)
            self.engine.end(task)
        self.tell_all()
        return True

    def surrender(self, task: InlineTask) -> bool:
        """As Client.surrender: a call that was cancelled ends so."""
        if task.is_cancelled and not task.is_over:
            self.fail_with(task, partial(_cancelled, task.name))
        return task.is_over

    def retry(self, task: InlineTask) -> bool:
        """As Client.retry: whether there is another attempt."""
        if task.is_over or task.is_cancelled or task.attempt >= task.template.max_retries:
            return False
        task.attempt += 1
        return True

    def repeat_here(self, task: InlineTask) -> bool:
        """As Client.repeat_here."""
        return task.items is None and self.retry(task)

    def is_ending(self, task: InlineTask) -> bool:
        """As Client.is_ending."""
        return task.is_cancelled and not task.is_over

    def must_end(self, task: InlineTask) -> bool:
        """As Client.must_end."""
        return task.must_end()

    def set_current(self, task: InlineTask | None) -> None:
        """Whose calls this thread makes from here on."""
        self.engine.here.task = task

    # -- streams

    def deliver(self, task: InlineTask, value: object) -> bool:
        """One item of a stream -> whether more are wanted. Raises SerializationError."""
        assert task.items is not None
        encoded = encode(value)
        with self.lock:
            if not task.is_wanted:
                return False
            self._add_item(task.items, task.items.waiting[-1], encoded)
        self.tell_all()
        if self.engine.here.loop is not None:
            self.engine.here.loop.has_result()  # or who made an endless stream would wait for it for ever
        return True

    def permit_of(self, task: InlineTask) -> ObjectRef[Any] | None:
        """A ref that is resolved when a stream's next item may be made; None: now."""
        assert task.items is not None
        with self.lock:
            if task.items.has_room or not task.is_wanted:
                return None
            if task.items.permit is None:
                task.items.permit = self.new_entry()
            return InlineRef(self, task.items.permit)

    def end_stream(self, task: InlineTask) -> bool:
        """There are no more items."""
        if self.surrender(task):
            return False
        with self.lock:
            assert task.items is not None
            self._end_items(task.items)
            self.resolve(task.items.done, encode(None))
            self.engine.end(task)
        self.tell_all()
        return True

    def take_item(self, items: Items, item: InlineRef) -> ObjectRef[Any] | None:
        """Take the stream's next entry. None: it is the end, or was taken meanwhile."""
        self.check()
        with self.lock:
            if not items.waiting or items.waiting[0] is not item.entry:
                return None
            items.waiting.popleft()
            if item.entry.is_end:
                items.waiting.clear()
                return None
            self._give_permit(items)
        self.tell_all()
        return item

    def close_stream(self, items: Items) -> None:
        """Take no more: the generator is closed now, if it is not running."""
        self.drop_stream(items)
        if not self.is_closed and not self.is_forked:
            self.engine.settle()

    def drop_stream(self, items: Items) -> None:
        """The same, when this thread next comes by: a finalizer may run anywhere."""
        items.is_wanted = False
        self.engine.dropped.append(items)

    def _add_item(self, items: Items, tail: Entry, value: Encoded | None = None, error: Any = None) -> None:
        items.n_made += 1
        items.waiting.append(self.new_entry(tail.task, items.n_made + 1))
        self.resolve(tail, value, error)

    def _end_items(self, items: Items) -> None:
        if items.waiting:
            items.waiting[-1].is_end = True
            self.resolve(items.waiting[-1], encode(None))
        items.source = None
        items.ahead = 0
        self._give_permit(items)

    def _give_permit(self, items: Items) -> None:
        permit, items.permit = items.permit, None
        if permit is not None:
            self.resolve(permit, encode(None))

    # -- the connection

    def counters(self) -> dict[str, float]:
        """How many objects there are, and what their values take."""
        values = [entry.value for entry in list(self._entries.values()) if entry.value is not None]
        n_bytes = sum(len(value.data) + sum(map(len, value.buffers)) for value in values)
        return {"live_entries": float(len(self._entries)), "live_bytes": float(n_bytes)}

    def flush(self) -> None:
        """As Client.flush, which handles call as they go: actors whose last one went end now."""
        if not self.is_closed and not self.is_forked:
            self.engine.settle_unless_locked()

    def forked(self) -> None:
        """As Client.forked."""
        self.is_forked = True

    def close(self) -> None:
        """End it. Whoever waits is told that it is closed."""
        if self.is_closed or self.is_forked:
            return
        self.engine.stop()
        with self.lock:
            self.is_closed = True
            waiting = [tell for entry in self._entries.values() for tell in entry.tells]
            self._exported.clear()
            self.engine.changed.notify_all()
        for tell in waiting:
            tell()


class Buffer:
    """Room for an array that is written in place."""

    def __init__(self, nbytes: int) -> None:
        self.view = memoryview(bytearray(nbytes))


def _cancelled(name: str) -> TaskCancelledError:
    error = TaskCancelledError(f"{name} was cancelled before it had a result")
    error.task_name = name
    return error


def _deadline(timeout_s: float | None) -> float | None:
    if timeout_s is None:
        return None
    try:
        seconds = math.ldexp(timeout_s, 0)  # as the core takes a number; `float` would take a text too
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout_s!r}") from None
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"timeout must be at least 0 seconds or None, not {timeout_s!r}")
    return None if seconds > NO_LIMIT_S else time.monotonic() + seconds


if TYPE_CHECKING:

    def _both(compiled: Client, inline: InlineClient) -> tuple[NodeClient, NodeClient]:
        return compiled, inline

# SPDX-License-Identifier: Apache-2.0
"""One call: what the hosts of `worker` see as the core's Task, and the template that makes such calls."""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from shoal._core._node import RETURNS_DYNAMIC, RETURNS_STREAM, ObjectRef
from shoal._core.status import ArgumentError
from shoal.inline.entry import Entry, InlineRef, InlineStream, Items
from shoal.inline.payload import Encoded, decode, encode

if TYPE_CHECKING:
    from shoal.inline.actors import InlineActor
    from shoal.inline.client import InlineClient


class Arguments:
    """The arguments of a call, pickled when it is made. Refs at the top level become their values when it runs.

    Raises SerializationError for what cannot be pickled, InvalidReferenceError for a ref of another connection."""

    def __init__(self, client: InlineClient, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.awaited: list[InlineRef] = []
        places: list[int | str] = []
        named_by: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        for place, value in named_by:
            if isinstance(value, ObjectRef):
                self.awaited.append(client.own(value))
                places.append(place)
        self._places = places
        plain = tuple(None if isinstance(value, ObjectRef) else value for value in args)
        named = {name: None if isinstance(value, ObjectRef) else value for name, value in kwargs.items()}
        self._encoded: Encoded = encode((plain, named) if named else plain)
        self._has_names = bool(named)

    @property
    def are_there(self) -> bool:
        """Whether the call could run."""
        return all(ref.entry.order for ref in self.awaited)

    def load(self, client: InlineClient) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Copies of them. Raises ArgumentError for an argument that is an error."""
        value = decode(self._encoded)
        args, kwargs = value if self._has_names else (value, {})
        args = list(args)
        for place, ref in zip(self._places, self.awaited, strict=True):
            try:
                found = client.value_of(ref.entry)
            except BaseException as error:
                raise ArgumentError(error) from None
            if isinstance(place, int):
                args[place] = found
            else:
                kwargs[place] = found
        return tuple(args), kwargs


class InlineTask:
    """One call, until it is over."""

    caller = 0  # client that made it: there is one
    lease: dict[str, int]

    def __init__(
        self, client: InlineClient, template: InlineTemplate, arguments: Arguments, index: int, task_id: bytes
    ) -> None:
        self._client = client
        self.template = template
        self.arguments = arguments
        self.index = index
        self.id = task_id
        self.key = template.key
        self.num_returns = template.num_returns
        self.class_id = template.class_id
        self.creates_actor = template.creates_actor
        self.actor: InlineActor | None = None
        self.parent: InlineTask | None = None
        self.depth = 0
        self.n_calls = 0  # that it has made
        self.attempt = 0
        self.name = "a task"
        self.lease = {}
        self.context = Context()  # of its code: nothing of the caller's gets in, nothing of it gets out
        self.thread_id = 0  # that runs it now
        self.is_begun = False
        self.is_over = False
        self.is_cancelled = False
        self._is_told = False
        self.children: WeakSet[InlineTask] = WeakSet()
        self.items: Items | None = None
        self.returns: list[Entry] = []

    def load(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, as the core's Task gives them."""
        return self.arguments.load(self._client)

    def must_end(self) -> bool:
        """Was it cancelled? True only once."""
        if self._is_told or not self.is_cancelled or self.is_over:
            return False
        self._is_told = True
        return True

    # -- of a stream whose producer does not wait to be asked: an async actor's

    @property
    def delivered(self) -> int:
        """Items that there are, by earlier attempts too."""
        return 0 if self.items is None else self.items.n_made

    @property
    def is_wanted(self) -> bool:
        """Whether somebody will take more items."""
        return self.items is not None and self.items.is_wanted and not self.is_cancelled and not self.is_over

    def offer(self, value: object) -> bool:
        """One item -> whether more are wanted. Raises SerializationError."""
        return self.is_wanted and self._client.deliver(self, value)

    def blocked_by(self) -> ObjectRef[Any] | None:
        """What must be resolved before the next item is made."""
        return self._client.permit_of(self)

    def end_stream(self) -> bool:
        """There are no more items -> False if the call was over already."""
        return self._client.end_stream(self)


class InlineTemplate:
    """What the core's CallTemplate is: everything about a call that does not change between calls.

    What only a scheduler acts upon (priority, time-outs) is taken and has no effect."""

    def __init__(
        self,
        client: InlineClient,
        *,
        key: bytes,
        class_id: int,
        num_returns: int = 1,
        max_retries: int = 0,
        is_actor_call: bool = False,
        creates_actor: bool = False,
        keep: object = None,
        max_items_ahead: int = 0,
        **_: object,
    ) -> None:
        self._client = client
        self.key = key
        self.class_id = class_id
        self.num_returns = num_returns
        self.max_retries = max_retries
        self.is_actor_call = is_actor_call
        self.creates_actor = creates_actor
        self.keep = keep
        self.max_items_ahead = max_items_ahead

    @property
    def n_entries(self) -> int:
        """How many objects a call resolves, apart from a stream's items."""
        return 1 if self.num_returns >= RETURNS_DYNAMIC else self.num_returns

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call, run what can be run, and give what `.remote()` returns."""
        client = self._client
        client.check()
        task = client.new_task(self, Arguments(client, args, kwargs))
        refs = [InlineRef(client, entry) for entry in task.returns]
        result: Any = refs
        if self.num_returns == RETURNS_STREAM:
            assert task.items is not None
            result = InlineStream(client, task.items)
        elif self.num_returns in (1, RETURNS_DYNAMIC):
            result = refs[0]
        elif self.num_returns == 0:
            result = None
        del refs
        client.engine.submit(task)
        return result

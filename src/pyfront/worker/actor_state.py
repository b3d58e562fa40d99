# SPDX-License-Identifier: Apache-2.0
"""The user's object inside an actor: made by the first call, then found by method key; and how an actor ends.

Shared by the three hosts, which differ only in where a call runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shoal._core._node import Client, Task
from shoal.actor_exit import CONSTRUCTOR_FAILED, ActorExit
from shoal.errors import ActorDiedError
from shoal.ids import CONSTRUCTOR_KEY, method_key
from shoal.node_calls import NodeCalls
from shoal.serialization.failure import Payload, encode_error
from shoal.task.accelerators import Accelerators
from shoal.task.actor_shape import RETRIED_ATTRIBUTE, ActorShape, calls_of
from shoal.task.function_table import FunctionTable
from shoal.task.traits import Traits
from shoal.worker.allowance import Allowance
from shoal.worker.items import DELIVERING
from shoal.worker.outcome import Outcomes, let_go

CONSTRUCTOR_FRAMES = 1  # of a constructor's traceback, besides the host's: `_construct`


class Creation(NamedTuple):
    """How a restarted actor is made again."""

    arguments: Callable[[], tuple[list[Any], dict[str, Any]]]
    done: Callable[[], None]  # tells the daemon
    lease: Mapping[str, int]
    resume: Callable[[ActorState], None] | None = None  # brings its state back, once it is constructed


class ActorState:
    """One actor's instance. Not thread-safe before the constructor has run."""

    def __init__(
        self,
        *,
        key: bytes,
        class_name: str,
        shape: ActorShape,
        functions: FunctionTable,
        outcomes: Outcomes,
        calls: NodeCalls,
        accelerators: Accelerators,
        allowance: Allowance | None = None,
        creation: Creation | None = None,
    ) -> None:
        self.class_name = class_name
        self.is_over = False  # no further call may start
        self._key = key
        self._shape = shape
        self._names: dict[bytes, str] = {}
        self._groups: dict[bytes, str | None] = {}
        self._retried: dict[bytes, Traits] = {}  # of calls that say themselves what is retried
        self._learn(None)
        self._names[CONSTRUCTOR_KEY] = "__init__"
        self._functions = functions
        self._outcomes = outcomes
        self._calls = calls
        self._accelerators = accelerators
        self._allowance = allowance
        self._creation = creation
        self._is_told: threading.Event | None = None  # once it is over: set when the daemon knows why
        self._methods: dict[bytes, Callable[..., Any]] = {}
        self._instance: object = None

    def name_of(self, task: Task) -> str:
        """How errors and output call the task, e.g. `Counter.increment`."""
        return f"{self.class_name}.{self._names.get(task.key) or self._learned(task.key) or 'a method'}"

    @property
    def instance(self) -> Any:
        """The user's object; None before its constructor has run."""
        return self._instance

    def group_of(self, task: Task) -> str | None:
        """The concurrency group that the call is to run in; None: the one of those that name none."""
        if task.key not in self._names:
            self._learned(task.key)
        return self._groups.get(task.key)

    def wait_for_constructor(self, client: Client) -> list[Task]:
        """Claim until the creating call has come -> it, then the calls of other callers that were there before it.

        Calls are ordered per caller, and whoever got the handle may be faster than an argument of the constructor.
        Empty if the actor should exit; and if it was restarted, for then its constructor has run, or `is_over`."""
        if self._creation is not None:
            self._construct_again(self._creation)
            return []
        early: list[Task] = []
        while True:
            task = client.next_task()
            if task is None:
                if client.should_exit:
                    return []
            elif task.creates_actor:
                self._accelerators.show(task.lease)
                return [task, *early]
            else:
                early.append(task)

    def target(self, task: Task) -> Callable[..., Any]:
        """What to call for a task: the class for the creating call, else the bound method."""
        method = self._methods.get(task.key)
        if method is not None:
            return method
        if task.creates_actor:
            return self._construct
        name = self._names.get(task.key)
        if name is None or self._instance is None:
            raise AttributeError(f"actor {self.class_name} has no such method; the caller's class is another version")
        found: Callable[..., Any] = getattr(self._instance, name)
        self._methods[task.key] = found
        return found

    def is_repeated(self, task: Task, error: BaseException) -> bool:
        """Whether a call that has raised `error` is made again; `task` is then its next attempt, of this thread."""
        if self.is_over or task.creates_actor or isinstance(error, SystemExit):
            return False
        traits = self._retried.get(task.key)
        if traits is None:
            traits = self._retried[task.key] = Traits(getattr(self._methods.get(task.key), RETRIED_ATTRIBUTE, ()))
        if not traits.is_retried(error) or not self._outcomes.repeat_here(task):
            return False
        let_go(error)
        return True

    def _learned(self, key: bytes) -> str | None:
        """The method of a call that chooses whether its exceptions are retried. Few do, so their keys are made late."""
        self._learn(True)
        self._learn(False)
        return self._names.get(key)

    def _learn(self, choice: bool | None) -> None:
        for call, name, group in calls_of(self._shape, (choice,)):
            key = method_key(call)
            self._names[key] = name
            if self._shape.concurrency_groups:
                self._groups[key] = group
            if choice is not None:
                self._retried[key] = Traits((Exception,) if choice else ())

    def returned(self, task: Task, name: str, value: object) -> None:
        """Seal a call's value."""
        self._outcomes.returned(task, name, value)

    def payload(self, name: str, error: BaseException, own_frames: int) -> Payload:
        """A call's error as bytes and refs."""
        return self._outcomes.payload(name, error, own_frames)

    def raised(self, task: Task, name: str, error: BaseException, own_frames: int) -> None:
        """Seal a call's error. A constructor's error and `sys.exit` end the actor: `is_over` is true afterwards."""
        if self._allowance is None:
            self._seal(task, name, error, own_frames)
            return
        try:
            self._seal(task, name, self._allowance.explain(error, name), own_frames)
        finally:
            self._allowance.enforce()

    def _seal(self, task: Task, name: str, error: BaseException, own_frames: int) -> None:
        if task.creates_actor:
            frames = own_frames + CONSTRUCTOR_FRAMES
            payload = self._outcomes.payload(name, error, frames)
            # The daemon tells every later caller, and holds no refs.
            told = self._outcomes.payload(name, error, frames, is_on_its_own=True) if payload.refs else payload
            self._end(CONSTRUCTOR_FAILED, told.data)
            self._outcomes.failed(task, payload)
        elif isinstance(error, SystemExit):
            reason = _exit_text(name, error)
            self._end(reason)
            died = ActorDiedError(f"actor {self.class_name} is gone: {reason}")
            died.actor_name = self.class_name
            self._outcomes.failed(task, encode_error(died))
        else:
            self._outcomes.raised(task, name, error, own_frames)
            return
        let_go(error)

    def _construct(self, *args: Any, **kwargs: Any) -> None:
        cls = self._functions.load(self._key).function
        self._instance = cls(*args, **kwargs)

    def _construct_again(self, creation: Creation) -> None:
        name, reason = f"{self.class_name}.__init__", "its constructor failed when it was restarted"
        self._accelerators.show(creation.lease)
        try:
            args, kwargs = creation.arguments()
            self._construct(*args, **kwargs)
            if creation.resume is not None:
                name, reason = f"{self.class_name}.restore", "its state could not be brought back when it was restarted"
                creation.resume(self)
        except BaseException as error:
            told = error if self._allowance is None else self._allowance.explain(error, name)
            payload = self._outcomes.payload(name, told, 1 + CONSTRUCTOR_FRAMES, is_on_its_own=True)
            self._end(reason, payload.data, is_final=False)
            let_go(error)
        else:
            creation.done()

    def checkpoint_failed(self, error: BaseException) -> None:
        """Its `checkpoint` has raised: it ends, for its state cannot be kept any more."""
        payload = self._outcomes.payload(f"{self.class_name}.checkpoint", error, 1, is_on_its_own=True)
        self._end("its checkpoint() failed", payload.data)
        let_go(error)

    def _end(self, reason: str, payload: bytes = b"", *, is_final: bool = True) -> None:
        told = self._is_told = threading.Event()
        self.is_over = True
        try:
            self._calls.explain_exit(reason, payload, is_final=is_final)
        finally:
            told.set()

    def wait_until_told(self) -> None:
        """If it is over: wait until the daemon knows why. The thread that ended the actor may still be telling."""
        if self.is_over and self._is_told is not None:
            self._is_told.wait()


def _exit_text(name: str, error: SystemExit) -> str:
    if isinstance(error, ActorExit):
        return f"{name} called exit_actor()"
    return f"{name} called sys.exit({'' if error.code is None else repr(error.code)})"


DELIVERING.add(ActorState.returned.__code__)

# SPDX-License-Identifier: Apache-2.0
"""The compiled node: what the front end may call, and nothing else.

Two roles share one mapping. A *client* (driver or worker) is a `Client`; the daemon owns a `NodeCore`, whose C thread
repairs, counts references and grants leases. Every call is one C function entered with the GIL held; only waits
release it. Statuses become exceptions from `shoal._core.status`.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import Future
from pickle import PickleBuffer
from typing import Any, Final, Generic, ParamSpec, TypeVar, overload

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Out_co = TypeVar("Out_co", covariant=True)
P = ParamSpec("P")

# Roles of a client.
ROLE_DRIVER: Final[int]
ROLE_WORKER: Final[int]
ROLE_ACTOR: Final[int]

# Flags of a payload's header.
PAYLOAD_ERROR: Final[int]
PAYLOAD_SYSTEM_ERROR: Final[int]

# Codes of errors sealed by the core itself.
ERR_WORKER_DIED: Final[int]
ERR_ACTOR_DIED: Final[int]
ERR_CANCELLED: Final[int]
ERR_ROOT_ENDED: Final[int]
ERR_STORE_FULL: Final[int]
ERR_DAMAGED: Final[int]
ERR_OUT_OF_MEMORY: Final[int]
ERR_TIMED_OUT: Final[int]
ERR_ACTOR_UNAVAILABLE: Final[int]
ERR_ENVIRONMENT: Final[int]
ERR_GROUP_REMOVED: Final[int]

# Kinds of events that the daemon drains: tuples (kind, a, b, c). Needs may be repeated: count what is coming already.

EVENT_CLIENT_SWEPT: Final[int]  # a = client index, b = client epoch
EVENT_NEED_WORKERS: Final[int]  # a = how many more, b = class id of an actor that was granted or -1, c = root
EVENT_ACTOR_UNREFERENCED: Final[int]  # a = class id: the last handle is gone
EVENT_STARVED: Final[int]  # a = class id, b = milliseconds its oldest task has waited for resources
EVENT_QUARANTINED: Final[int]  # a = pool, b = index
EVENT_FLUSH: Final[int]  # a = a client that should call Client.flush(); 0 = every driver and actor
EVENT_LIMITED: Final[int]  # processes under a memory limit may have grown: measure them
EVENT_CONDEMNED: Final[int]  # a = client, b = epoch, c = VERDICT_*: kill it, the task that it ran was ended by force
EVENT_GRANTED: Final[int]  # a = class id of a placement group that has its resources

# What becomes of a task whose process the daemon ends.
VERDICT_LIMIT: Final[int]  # it fails
VERDICT_REMOVED: Final[int]  # its placement group was removed
VERDICT_PRESSURE: Final[int]  # it is retried after a pause; with max_retries=0, or too often, it fails

# What `Survey` tells in numbers. States of a task; flags of a task; states and kinds of a class.
ROLE_DAEMON: Final[int]
CLIENT_DYING: Final[int]  # the only other state of a client is to live
TASK_READY: Final[int]
TASK_WAITING: Final[int]
TASK_CLAIMED: Final[int]
TASK_RUNNING: Final[int]
TASK_COMMITTED: Final[int]
TASK_KILLING: Final[int]
TASK_CANCELLED: Final[int]
TASK_OVERDUE: Final[int]
TASK_LOGGED: Final[int]
SLOT_ACTOR_CALL: Final[int]
SLOT_CREATES_ACTOR: Final[int]
CLASS_LIVE: Final[int]
CLASS_CLOSED: Final[int]
CLASS_SEAT: Final[int]
CLASS_FREE_RUN: Final[int]
CLASS_LEASE: Final[int]
CLASS_ACTOR: Final[int]
CLASS_GROUP: Final[int]
# What a client does; what it waits for, if not in one get; kinds of waiters.
RUN_BUSY: Final[int]
RUN_SPINNING: Final[int]
RUN_PARKED: Final[int]
AWAITS_NOTHING: Final[int]
AWAITS_SEVERAL: Final[int]
TRACE_RAN: Final[int]
TRACE_SUBMITTED: Final[int]
TRACE_SPAN: Final[int]
TRACE_RETURNED: Final[int]
TRACE_RAISED: Final[int]
TRACE_CANCELLED: Final[int]
TRACE_RETRIED: Final[int]
WAIT_ANYHOW: Final[int]
WAIT_SOLE: Final[int]
WAIT_LISTED: Final[int]
WAIT_ALL: Final[int]
WAIT_ENDS_BY: Final[int]
WAITS_TASK: Final[int]
WAITS_CLIENT: Final[int]
# Where an object's bytes are, flags of values and owners, and the numbers of objects that are no returns.
LOC_NONE: Final[int]
LOC_INLINE: Final[int]
LOC_SPILLED: Final[int]
VALUE_HAS_REFS: Final[int]
VALUE_ERROR: Final[int]
OWNER_SHARED: Final[int]
NUMBER_ACTOR: Final[int]
NUMBER_PUT: Final[int]
NUMBER_PERMIT: Final[int]
NUMBER_ITEM: Final[int]

class ObjectRef(Generic[T_co]):
    """A reference to one object. Made by `.remote()` and `put`. Equal refs name the same object; a ref can be hashed,
    awaited, and passed to tasks and actors. Not tracked by the garbage collector."""

    @property
    def index(self) -> int: ...
    @property
    def generation(self) -> int: ...
    def binary(self) -> bytes:
        """The ObjectId: 20 bytes = TaskId (16) + little-endian return or put number (4)."""
    def hex(self) -> str:
        """The ObjectId as 40 hexadecimal digits."""
    def task_id(self) -> bytes:
        """The id of the task that returns it, or that put it: the first 16 bytes of the ObjectId."""
    def pickled_alone(self) -> tuple[Any, ...]:
        """For the front end: what `__reduce__` gives outside of a call or value; calls Client.export_ref(ref)."""
    def __await__(self) -> Generator[Any, None, T_co]: ...  # calls Client.await_hook(ref)
    def future(self) -> Future[T_co]:
        """A `concurrent.futures.Future` of the value or error. It cannot be cancelled."""  # Client.future_hook

class ObjectRefGenerator(Generic[T]):
    """The results of a generator that runs as a task or an actor's method: refs, one by one as they are yielded.

    `for ref in stream`, `next(stream)`, or `async for ref in stream`: each waits for the next item and gives its ref,
    which is resolved. An error of the generator, or the death of its process, is one more ref, the last one, that
    raises it. Several threads may take from one stream; each item is given once.

    It belongs to the process that made the call: pickling it raises TypeError (in a call or `put`: SerializationError).
    When it is dropped or closed, the items that were not taken are freed, and the generator is closed (GeneratorExit)
    at its next `yield`.
    """

    def __iter__(self) -> ObjectRefGenerator[T]: ...
    def __next__(self) -> ObjectRef[T]: ...
    def __aiter__(self) -> ObjectRefGenerator[T]: ...
    def __anext__(self) -> Coroutine[Any, Any, ObjectRef[T]]: ...  # calls Client.next_hook(stream)
    def completed(self) -> ObjectRef[None]:
        """A ref that is resolved when the task has ended: to None, or to its error."""
    def next_ready(self) -> bool:
        """Would `next` give an item without waiting? False if it would raise StopIteration: see `is_finished`."""
    def is_finished(self) -> bool:
        """Has the generator ended, and was every item taken?"""
    def close(self) -> None:
        """Take no more: what a drop of the generator does, now. Iterating it ends from here on."""
    def pending(self) -> ObjectRef[T] | None:
        """For the front end: what `next` waits for, an item that is nobody's yet; None when it is over."""
    def take(self, item: ObjectRef[T]) -> ObjectRef[T] | None:
        """For the front end: take the pending item, which is resolved. None: it is the end, or was taken meanwhile."""

# What `num_returns` is for a call that yields: one ref to a list, or an ObjectRefGenerator. Larger than any number.
RETURNS_DYNAMIC: Final[int]
RETURNS_STREAM: Final[int]

def has_array_kept_inside(value: object) -> bool:
    """Whether there is an array in `value` that numpy would copy into the pickle: one with gaps, or of dates.

    Looks into lists, tuples and dicts, three deep, and at 1,000 parts at most."""

def with_refs(refs: list[ObjectRef[Any]], function: Callable[..., T], *args: Any) -> T:
    """`function(*args)`, during which pickles of this thread name refs by their place in `refs`.

    Pickling appends the refs it meets, unpickling looks them up. Outside of this and of the core's own payloads, a
    pickled ref names an object that is kept until the job ends.
    """

def earlier_actor(client: Client, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ObjectRef[Any]] | None:
    """The actor that an earlier attempt of this thread's task created as its next call, with these refs as arguments,
    if it lives: its class and its handle."""

def pass_call() -> None:
    """That call is not made by this attempt: count it."""

class CallTemplate:
    """Everything about a call that does not change between calls."""

    def __init__(
        self,
        client: Client,
        *,
        key: bytes,  # 16 bytes: content hash of the function, or hash of the method name
        class_id: int,
        num_returns: int = 1,  # or RETURNS_*
        max_retries: int = 0,
        priority: int = 0,  # -128 to 127, as that of the class
        timeout_ns: int = 0,  # that an attempt may run; 0: any time
        retry_overdue: bool = False,  # one that runs too long costs a retry
        is_actor_call: bool = False,
        creates_actor: bool = False,  # return 0 becomes the actor's handle object
        keep: object = None,  # kept alive with the template (an actor's handle ref)
        max_items_ahead: int = 0,  # of a stream: items that may lie there before one is taken; 0: any number
    ) -> None: ...

class Caller(Generic[P, Out_co]):
    """The callable behind `.remote`. Calls `bind()` once per connected client to get its template, then never again.

    Where `bind()` gives something else than a CallTemplate, each call asks for it, and calls it with (args, kwargs).
    Returns None for num_returns=0, one ref for 1 and RETURNS_DYNAMIC, an ObjectRefGenerator for RETURNS_STREAM, a list
    of refs otherwise.
    """

    def __init__(self, bind: Callable[[], CallTemplate | Callable[[tuple[Any, ...], dict[str, Any]], Any]]) -> None: ...
    # For a checker: P are the parameters, Out_co is what a call gives. Any argument may be a ref to the value instead.
    # There is no type for that, so a call with a ref among its first five arguments is not looked at further;
    # shoal.mypy_plugin looks at all arguments.
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Out_co: ...
    @overload
    def __call__(self, _0: ObjectRef[Any], /, *args: Any, **kwargs: Any) -> Out_co: ...
    @overload
    def __call__(self, _0: Any, _1: ObjectRef[Any], /, *args: Any, **kwargs: Any) -> Out_co: ...
    @overload
    def __call__(self, _0: Any, _1: Any, _2: ObjectRef[Any], /, *args: Any, **kwargs: Any) -> Out_co: ...
    @overload
    def __call__(self, _0: Any, _1: Any, _2: Any, _3: ObjectRef[Any], /, *args: Any, **kwargs: Any) -> Out_co: ...
    @overload
    def __call__(
        self, _0: Any, _1: Any, _2: Any, _3: Any, _4: ObjectRef[Any], /, *args: Any, **kwargs: Any
    ) -> Out_co: ...
    @overload
    def __call__(
        self, _0: Any, _1: Any, _2: Any, _3: Any, _4: Any, _5: ObjectRef[Any], /, *args: Any, **kwargs: Any
    ) -> Out_co: ...

class Task:
    """A claimed task on its worker. Lives until finish/fail."""

    @property
    def key(self) -> bytes: ...
    @property
    def id(self) -> bytes: ...
    @property
    def attempt(self) -> int: ...
    @property
    def num_returns(self) -> int: ...  # as the call declares it: a number or RETURNS_*
    @property
    def class_id(self) -> int: ...
    @property
    def caller(self) -> int: ...  # client index of the submitter
    @property
    def creates_actor(self) -> bool: ...
    @property
    def depth(self) -> int: ...
    def load(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Unpickle the arguments, top-level refs replaced by their values.

        Raises whatever unpickling raises; raises ArgumentError(payload exception) if a resolved argument is an error:
        then `exc.error` is the exception to pass on.
        """
    @property
    def lease(self) -> dict[str, int]: ...  # accelerators: {"gpu_mask": bits}
    # -- of a call with RETURNS_STREAM
    @property
    def delivered(self) -> int: ...  # items, by earlier attempts too
    @property
    def is_wanted(self) -> bool: ...  # False: the consumer is gone, or the task is to be ended
    def deliver(self, value: object) -> bool:
        """One item; then, if the stream is bounded, wait until the next one may be made.

        False: nobody wants more. Raises as `finish` does, and OverflowError after 2**28 - 1 items."""
    def offer(self, value: object) -> bool:
        """`deliver` without the wait."""
    def blocked_by(self) -> ObjectRef[Any] | None:
        """What the next item must wait for: it is resolved when an earlier one is taken."""
    def end_stream(self) -> bool:
        """Commit, after the last item. False as `finish`."""

class Client:
    """This process's share of a node's segment."""

    # Set once by the front end, before the first call.
    dumps_arrays: Callable[[object, int, Callable[[PickleBuffer], object]], bytes]
    """`pickle.dumps`, by value, protocol and callback, for values in which `has_array_kept_inside` finds one."""
    encode_fallback: Callable[[object, Exception | None], tuple[bytes, list[Any]]]
    """(value, error of the C pickler or None if its bytes name __main__) -> (pickle bytes, out-of-band buffers)."""
    decode_error: Callable[[bytes, list[ObjectRef[Any]]], BaseException]
    """Payload and refs of an error written by `fail` -> the exception to raise."""
    decode_system_error: Callable[[int, dict[str, int]], BaseException]
    """(ERR_* code, {"client", "epoch", "pid", "status", "class_id", "function"}) -> the exception to raise.

    `function`: the first eight bytes of its key, little-endian; 0: unknown. `class_id`: of
    ERR_TIMED_OUT the milliseconds. `epoch`: of ERR_ENVIRONMENT the attempt.
    """
    await_hook: Callable[[ObjectRef[Any]], Any]
    future_hook: Callable[[ObjectRef[Any]], Any]
    next_hook: Callable[[ObjectRefGenerator[Any]], Any]
    import_ref: Callable[[bytes], ObjectRef[Any]]
    """Rebuild a ref that the user pickled outside of a call (cold: asks the daemon)."""
    export_ref: Callable[[ObjectRef[Any]], bytes]
    """Pickle of a ref outside of a call: register it with the daemon, which keeps it until the job ends."""

    restore_hook: Callable[[list[tuple[int, int]], list[tuple[int, int]], float | None], None]
    """(needed, ahead, seconds or None): wait until spilled objects are in memory. `needed` are pinned."""
    full_hook: Callable[[int, str], BaseException]
    """(bytes, what they are for) -> the exception to raise when no room came free in time."""
    full_wait_s: float
    """How long a put, a call or a result waits for room in a full store."""
    is_sole: bool
    """Whether this process runs one call at a time, on one thread: while that is parked, none ends or begins."""
    stuck_hook: Callable[[Wait], BaseException | None] | None
    """-> the exception to raise in a wait, if it can never end. Called by a get or wait that has been parked for a
    second, and then again after twice the time, at most 30 s later."""
    made_hook: Callable[[int], None] | None
    """Called with each object that this process makes by a put or a call. Must not raise."""
    run_inline: Callable[[Task], None] | None
    """Run a claimed task inside a get of the current one, and restore whatever is current. None: never run inline."""

    def __init__(self, segment_fd: int, poke_fd: int, index: int, epoch: int) -> None: ...
    @property
    def index(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def role(self) -> int: ...
    def put(self, value: object) -> ObjectRef[Any]: ...
    def put_error(self, payload: bytes, refs: list[ObjectRef[Any]]) -> ObjectRef[Any]:
        """An object that raises; payload and refs are what `decode_error` will be given."""
    def get(self, ref: ObjectRef[T], timeout_s: float | None = None) -> T:
        """Raises the object's error; TimeoutError from shoal._core.status.Timeout after timeout_s."""
    def get_many(self, refs: Sequence[ObjectRef[Any]], timeout_s: float | None = None) -> list[Any]: ...
    def wait(
        self, refs: Sequence[ObjectRef[Any]], num_returns: int, timeout_s: float | None = None
    ) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]]: ...
    def adopt(self, index: int, generation: int) -> ObjectRef[Any]:
        """The reference of an object that the daemon has counted for this client (`NodeCore.hold_for`); once each."""
    def share(self, ref: ObjectRef[Any]) -> None:
        """The reference leaves this process by another way than a call or a value: have the daemon count it."""
    def node_lost(self) -> None:
        """The daemon is gone, and the segment with it: end every wait of this process with Fenced. Any thread."""
    def leave(self) -> None:
        """Take no more work: should_exit turns true and next_task returns None. Any thread."""
    def memory_limit(self, class_id: int) -> int:
        """Bytes of private memory that a class demands and may not exceed; 0: no limit."""
    def class_tag(self, class_id: int) -> int:
        """The `tag` that a class was defined with."""
    def forget_templates(self) -> None:
        """Every Caller asks for its template again, at its next call."""
    @property
    def lease(self) -> dict[str, int]: ...  # accelerators that this process has now: {"gpu_mask": bits}
    def allow(self, baseline: int, allowance: int) -> None:
        """Publish the bytes of private memory that this process may hold now (0: any number), and held before."""
    def flush(self) -> None:
        """Let go of what this process's dropped references still hold. Every other call does it first, too."""
    def forked(self) -> None:
        """In the child of os.fork(): refuse every further call."""
    @property
    def is_closed(self) -> bool: ...
    def is_resolved(self, ref: ObjectRef[Any]) -> bool: ...
    def is_over(self, index: int, generation: int) -> bool:
        """Whether this object has a value or an error, or had one and is gone. Takes no reference."""
    def create(self, nbytes: int) -> Any:
        """An unsealed object of nbytes: a Buffer with writable `.view` (memoryview in the segment)."""
    def seal_array(self, buffer: Any, describe: tuple[Any, ...], stays_writable: bool = False) -> ObjectRef[Any]:
        """Seal a created buffer in place; `describe` is (dtype str, shape, order).

        get() returns a read-only ndarray. `stays_writable`: to this process, for a `Board`.
        """
    # -- workers
    def next_task(self, timeout_s: float | None = None) -> Task | None:
        """Claim a task of this worker's classes (or of its actor).

        Spins, then parks. None at time-out or when asked to exit.
        """
    def try_next_task(self) -> Task | None: ...
    def finish(self, task: Task, values: Sequence[object]) -> bool:
        """Commit and seal the returns.

        False if the task was killed or cancelled meanwhile. Encoding errors raise, nothing done.
        """
    def fail(self, task: Task, payload: bytes, refs: list[ObjectRef[Any]]) -> bool:
        """Commit with every return sealed as an error; payload and refs are what `decode_error` will be given."""
    def set_current(self, task: Task | None) -> None:
        """The task whose children this thread now submits (ids, depth). Per thread."""
    earlier_calls: Any
    """What the calls of a task's earlier attempts are asked of: `shoal.earlier_calls.EarlierCalls`."""
    def task_of(self, ref: ObjectRef[Any]) -> tuple[int, int, bool] | None:
        """The task whose return this is: (index, generation, is it an actor's call). None: it was put.

        Only index and generation of a task that is over are right."""
    def interrupt(self, signal_number: int = 0, frame: object = None) -> None:
        """Raise KeyboardInterrupt if the task that this thread runs now is to be ended. A signal handler."""
    def is_ending(self, task: Task) -> bool:
        """Was the task cancelled, or is it overdue, while it runs here?"""
    def must_end(self, task: Task) -> bool:
        """The same, but true only once."""
    def retry(self, task: Task) -> bool:
        """Put a task whose code has ended with an error back for its next attempt. From here on it is not interrupted.

        False: it has no attempts left, or was to be ended."""
    def repeat_here(self, task: Task) -> bool:
        """The code of an actor's call has ended with an error: the task is its next attempt, of the same thread.

        False: it has no attempts left, is a stream, or was to be ended."""
    def surrender(self, task: Task) -> bool:
        """The task's code has ended with an error; from here on it is not interrupted.

        True: it was to be ended, and the daemon resolves it; or it was finished before."""
    def put_back(self, task: Task) -> bool:
        """Nothing of the task has run, and it cannot run here: another worker takes it, this one takes no more work.

        False: it was finished before."""
    @property
    def should_exit(self) -> bool: ...  # fenced, node stopping, or actor without handles and calls
    # -- event loops
    def wake_fd(self) -> int:
        """An eventfd that becomes readable when a watched ref resolves or a call arrives.

        Starts one C thread at first use.
        """
    def watch(self, ref: ObjectRef[Any]) -> bool:
        """Ask that `ref` be returned by drain_watched once resolved. True if it already is (then it will not be)."""
    def unwatch(self, ref: ObjectRef[Any]) -> None:
        """Nobody wants to be told of `ref` any more."""
    def drain_watched(self) -> list[ObjectRef[Any]]: ...
    def rearm(self, want_calls: bool = True) -> bool:
        """After the eventfd was read: True if there is work already, call drain/try_next_task again before sleeping.

        With want_calls=False queued actor calls are no work. should_exit is."""
    def look(self, want_calls: bool) -> bool:
        """Is there news: a watched ref that resolved or, with `want_calls`, a call that waits or should_exit?

        For a loop that looks by itself before it sleeps: no system call, nothing is armed."""
    def spin(self, want_calls: bool) -> int:
        """Some microseconds of looking for calls, without the GIL: 1 if one may be there, else 0; -1: sleep instead."""
    def awake(self) -> None:
        """A loop that slept armed runs again: calls that lie unclaimed are its own business."""
    # -- introspection
    def counters(self) -> dict[str, int]: ...
    def close(self) -> None: ...

class CallLog:
    """The calls of this actor since its last checkpoint (node/call_log.h). To be made before the first `next_task`."""

    def __init__(self, client: Client, position: int = 0) -> None:
        """`position`: what the checkpoint that is restored covers; it is cut off. Raises MemoryError."""
    @property
    def position(self) -> int:
        """Of the last call whose method was entered: what a checkpoint taken between two calls covers."""
    @property
    def is_kept(self) -> bool:
        """Whether another process would follow this one: else nothing is logged."""
    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Task:
        """The i-th logged call, to be run once more, and not to be finished."""
    def is_due(self, every: int) -> bool:
        """Whether a checkpoint is due: after `every` calls, or earlier if the log must not grow or is not enough."""
    def cut(self, position: int) -> None:
        """A checkpoint covers the calls up to here: let go of them, and of what they have called."""
    def begin(self, task: Task) -> None:
        """The method is about to be entered."""
    def forget(self, task: Task) -> None:
        """The method was not entered: what the call comes to is not to be repeated."""
    def raised(self, task: Task) -> None:
        """The method has raised: to be noted before the task is finished."""
    def has_raised(self, task: Task) -> bool: ...
    def state(self, ref: ObjectRef[T]) -> T:
        """The value, in memory of this process's own: arrays can be written to."""

class Board:
    """A share in an object that several clients, its parties, write to; and words that tell how far each of them is.

    The object was sealed with `stays_writable`, and began with `board_bytes` zeros. A party writes its own words only,
    and they only grow. While a Board lives its object is held and stays in memory.
    """

    def __init__(self, client: Client, ref: ObjectRef[Any], n_parties: int, me: int, n_words: int) -> None: ...
    @property
    def nbytes(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...  # of the whole object; writable
    def join(self) -> None:
        """Take our place: others can wait for us from now on, and are told when this process dies."""
    def tell(self, word: int, value: int) -> None:
        """Set our own word and wake those who wait. What was written before is seen by whoever sees the word."""
    def behind(self, first: int, last: int, word: int, least: int) -> int:
        """The first party of `range(first, last)` whose word is below `least`; `last` if there is none."""
    def wait(self, first: int, last: int, word: int, least: int) -> int:
        """The same, after a wait of some 200 ms (of drivers 50 ms) at most if somebody is behind.

        Spins, then parks; a worker gives its CPU up meanwhile. Signals interrupt it."""
    def word_of(self, party: int, word: int) -> int: ...
    def who(self, party: int) -> tuple[int, int]:
        """A party's client record and its epoch; (0, 0) if it has not joined."""
    def is_gone(self, party: int) -> bool:
        """Has this party joined, and has its process died?"""

def blocked_in(client: Client, function: Callable[..., T], *args: Any) -> T:
    """Call `function`, which waits for other processes: a worker gives its CPU up meanwhile."""

def board_bytes(n_parties: int, n_words: int) -> int:
    """Bytes that the words of a board take."""

class NodeCore:
    """The daemon's side of a segment: creates it, and runs the repair thread."""

    def __init__(self, *, cpus: int, store_bytes: int, node_number: int = 0, cluster_id: bytes = b"") -> None: ...
    @property
    def segment_fd(self) -> int: ...
    @property
    def poke_fd(self) -> int: ...
    @property
    def event_fd(self) -> int: ...  # readable when drain_events has something
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def register(
        self, pid: int, pidfd: int, role: int, class_id: int = -1, root: int = 0, crew: int = 0
    ) -> tuple[int, int]:
        """A fresh client record -> (index, epoch).

        The core now owns a duplicate of pidfd. A worker serves one root for life, and one crew of it (0: the root's).
        """
    def fence(self, index: int, epoch: int) -> None:
        """No more work for this client; it learns it by should_exit."""
    def define_class(
        self,
        *,
        root: int,
        cpu_milli: int,
        demands: dict[int, int],
        gpu_milli: int = 0,
        priority: int = 0,
        crew: int = 0,
        group: int = -1,
        bundle: int = -1,
        tag: int = 0,
    ) -> int:
        """A scheduling class for tasks of one resource shape, priority, root and crew. Same arguments, same id.

        `group`: the class of the placement group that it books in, -1 for none; `bundle`: which one, -1 for any."""
    def define_actor(
        self,
        *,
        root: int,
        cpu_milli: int,
        demands: dict[int, int],
        gpu_milli: int = 0,
        group: int = -1,
        bundle: int = -1,
        tag: int = 0,
        logs: bool = False,
    ) -> int:
        """A class with one taker. Reserve its lease with `reserve_actor` before starting its process.

        `logs`: its calls stay as LOGGED while it may be restarted, until a checkpoint covers them."""
    def set_restarts(self, class_id: int, restarts: bool, incarnation: int) -> None:
        """Whether another process follows when the actor's dies, and how many there were before.

        Calls wait for it then. To be said before each process is registered.
        """
    def reserve_actor(self, class_id: int) -> bool:
        """True when the resources of this actor are granted now; else queued:

        EVENT_NEED_WORKERS follows with b = class id.
        """
    def close_class(self, class_id: int, code: int, client: int, epoch: int, pid: int, status: int) -> None:
        """An actor is gone for good: its unfinished and future calls resolve to this error; resources come back."""
    def fail_class(self, class_id: int, code: int, attempt: int) -> None:
        """What waits in this task class resolves to this error; `attempt` comes back as its `epoch`."""
    def define_group(self, bundles: Sequence[tuple[int, int, dict[int, int]]]) -> int:
        """A placement group of such bundles, (CPU milli, GPU milli, others by kind), that has nothing yet."""
    def reserve_group(self, class_id: int) -> bool:
        """True when its resources are set aside now; else queued, and EVENT_GRANTED follows."""
    def remove_group(self, class_id: int) -> None:
        """Its tasks end with ERR_GROUP_REMOVED; its resources come back when nothing computes on them."""
    def bundle_available(self, class_id: int, bundle: int) -> dict[int, int] | None:
        """Free resources of a bundle by kind in milli; -1 = CPU. None: it has none yet."""
    def end_root(self, root: int) -> None:
        """A job ended: its queued tasks are dropped, its holds are released."""
    def set_capacity(self, kind: int, amount_milli: int) -> None:
        """Capacity of resource `kind` (0 = gpu; others as the daemon numbers custom resources)."""
    def drain_events(self) -> list[tuple[int, int, int, int]]: ...
    def set_pressure_retries(self, count: int, pause_s: float) -> None:
        """How often a task may be put back by VERDICT_PRESSURE; the first pause, which doubles up to 32 times that."""
    def running(self, limited_only: bool = False) -> list[dict[str, Any]]:
        """Actors, and workers with a task: index epoch pid role root class_id task key attempt max_retries pressed
        since_ns allowance baseline.

        `task` is (index, generation) of its slot, `key` its function's; both None for an actor between calls.
        """
    def condemn(self, index: int, epoch: int, task: tuple[int, int], verdict: int) -> bool:
        """The worker can no longer finish this task: kill it now. False: it does not run that task any more."""
    def cancel(self, index: int, generation: int, force: bool, recursive: bool) -> bool:
        """End a task whatever it is doing (node/cancel.h). False: it is over.

        EVENT_CONDEMNED (a = client, b = epoch) follows if its worker is to be killed for it."""
    def hold(self, index: int, generation: int) -> bool: ...
    def children(self, client: int, epoch: int, index: int, generation: int) -> list[tuple[int, ...]]:
        """What earlier attempts of the task in this slot called, each counted for this client, which runs it: index,
        generation, place, function, class_id, class_generation, flags, number, digest."""
    def hold_for(self, client: int, epoch: int, index: int, generation: int) -> bool:
        """Count a hold by a client that will be told of the object and `adopt` it. False: one of the two is gone."""
    def drop(self, index: int, generation: int) -> None: ...
    def holdings(self, most: int = 100_000) -> list[tuple[int, int, int]]:
        """Who holds which shared object: (client, object as `Survey` names it, references)."""
    def available(self) -> dict[int, int]: ...  # kind -> milli; -1 = cpu
    def clients(self) -> list[dict[str, int]]: ...
    def task_states(self) -> dict[int, int]:
        """How many tasks are in each state (TASK_*)."""
    def classes(self) -> list[dict[str, int]]: ...
    def counters(self) -> dict[str, int]:
        """tasks_completed, live_entries, live_slots, live_nodes, live_bytes, repairs, sweeps, quarantined, free_seats,
        ...
        """
    def is_valid(self) -> bool: ...

class SpillCore:
    """The daemon's hands on spilling (node/spill.h): what may go, what must come, and the memory of both.

    Objects are named by index and generation of their entries. Any thread.
    """

    def __init__(self, core: NodeCore) -> None: ...
    def shortage(self) -> tuple[int, int, int]:
        """What clients wait for: (how many, bytes of the largest allocation, bytes of all)."""
    def wake(self) -> None:
        """Have the waiting clients look again."""
    def choose(self, largest: int, total: int, most: int = 16384) -> tuple[list[tuple[int, int, int, int]], bool]:
        """What to spill for `total` bytes, `largest` in one piece.

        -> ([(index, generation, bytes, place or 0)], has_room).

        An empty list with has_room: somebody only has to look. Without: nothing can go.
        """
    def bytes_of(self, index: int, generation: int) -> memoryview | None:
        """A resident object's bytes; None if it is gone or away. What is read counts once `written` is true."""
    def written(self, index: int, generation: int, place: int) -> bool:
        """Its bytes are on disk at `place` (> 0). False: it is gone, and the copy worth nothing."""
    def evict(self, index: int, generation: int) -> bool:
        """Take its memory. False: it is pinned, gone, or has no copy."""
    def trim(self, largest: int, n_bytes: int) -> int:
        """Give back about n_bytes of wholly free chunks, for small values of arenas too -> bytes."""
    def begin_restore(self, index: int, generation: int) -> Restoring | int | None:
        """Memory for an object that is away. None: here; an int: no room for so many bytes; 0: it is coming.

        Raises KeyError if the object is gone.
        """
    def forget(self, index: int, generation: int) -> int:
        """Forget the copy of a resident object -> its place, or 0."""
    def gone(self, looks: int) -> list[int]:
        """Places whose objects are gone, after a look at so many copies."""
    def next_arguments(self, most: int = 64) -> list[tuple[int, int]]:
        """Spilled arguments of the tasks that are next in the queues."""
    def counters(self) -> dict[str, int]: ...  # copies, spilled_objects, spilled_bytes

class Restoring:
    """Memory for an object that is being read back. End it by `commit` or `abort`."""

    @property
    def place(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def view(self) -> memoryview: ...  # writable; all of the room, which may be more than nbytes
    def commit(self) -> bool: ...  # False: the object was freed meanwhile
    def abort(self) -> None: ...

class Wait:
    """A get or wait that is parked. Made by the client."""

    @property
    def began_ns(self) -> int:
        """When, by the clock of `Survey.now_ns`."""
    @property
    def is_for_ever(self) -> bool:
        """Whether it has no time limit."""
    @property
    def is_sole(self) -> bool:
        """Whether nothing but its objects ends it: it is the one call's of a process that runs one at a time."""
    def unresolved(self) -> list[int]:
        """The objects that it waits for, as `Survey` names them."""
    def watch_all(self) -> bool:
        """Have each of its objects that is unresolved name this client, so that others see what it waits for.

        False: there is no room."""

class Survey:
    """What lies in a node's segment, read without asking anybody and without writing a word (node/survey.h).

    Works while every other process of the node is stopped. Records are named by index and generation packed into one
    number (0: none). Scans go on at the number that they return until that is None.
    """

    def __init__(self, source: Client | int) -> None:
        """Through a client's mapping, or of a segment's descriptor, which may be open for reading only.

        Raises CoreError. The descriptor is not needed afterwards."""
    def tasks(self, start: int = 0, most: int = 4096) -> tuple[list[tuple[Any, ...]], int | None]:
        """Each task: task, state, who, class_id, submitter, depth, flags, attempt, max_retries, root, n_returns,
        n_deps, awaits, id, parent, function, spec_bytes."""
    def objects(self, start: int = 0, most: int = 4096) -> tuple[list[tuple[Any, ...]], int | None]:
        """Each object: object, id, number, owner, owner_flags, closed, dropped, size, value_flags, where, producer."""
    def waiters(self, start: int = 0, most: int = 4096) -> tuple[list[tuple[Any, ...]], int | None]:
        """Each waiter: object, kind, target (a slot or a client)."""
    def clients(self, start: int = 0, most: int = 4096) -> list[tuple[Any, ...]]:
        """Each client: index, state, epoch, pid, role, class_id, root, run_state, blocked, current, since_ns, awaits,
        waits, room_wanted, submitted, completed, busy_ns, parks, lease."""
    def classes(self, start: int = 0, most: int = 4096) -> list[tuple[Any, ...]]:
        """Each class: class_id, state, kind, root, cpu_milli, gpu_milli, taker (client + 1), unreferenced, demands."""
    def watched(self, client: int) -> list[int]:
        """The objects that a client's waiters name; what earlier waits of it left is among them."""
    def arguments(self, task: int) -> list[int]:
        """The objects that a task's arguments name, dependencies first; at most 1024."""
    def contents(self, object: int) -> list[int]:
        """The objects that a value in memory names; at most 1024."""
    def is_pinned(self, client: int, object: int) -> bool:
        """Whether this client has a view of the object's bytes."""
    def store(self) -> tuple[int, int]:
        """Bytes that clients have claimed for values, and how many they may."""
    @property
    def now_ns(self) -> int:
        """The clock of `since_ns`."""

def start_trace(client: Client, mapping: Any) -> None:
    """Write what a client does into a writable buffer of zeros (trace.h), from now on. Raises Invalid."""

def trace_span(client: Client, name: bytes, begin_ns: int, end_ns: int) -> None:
    """Note a span of user code, by the monotonic clock. No effect on a client that does not trace."""

def is_tracing(client: Client) -> bool:
    """Whether `start_trace` was called."""

def use_dumps(dumps: Callable[..., bytes] | None) -> None:
    """Pickle values by this function, which takes what `pickle.dumps` takes; None: by that one again."""

def prctl(option: int, argument: int | bytes) -> None:
    """What Linux is asked about this process: `prctl(2)`, whose argument is a number or text. Raises OSError."""

def address_of(buffer: memoryview) -> int:
    """Where a buffer's bytes begin."""

def punch_hole(fd: int, offset: int, n_bytes: int) -> bool:
    """Give a range of a file back to the file system. False: it cannot do that."""

def system_info() -> dict[str, int]: ...  # layout version, record sizes, check level, hooks built in

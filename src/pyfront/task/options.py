# SPDX-License-Identifier: Apache-2.0
"""The options of tasks and actors: names, defaults, legal values, and the ones that this release refuses.

Pure: no connection, no clock. `merge` is what `@remote(...)` and `.options(...)` call; a bad value is refused there, at
the line that wrote it, not when the task runs.
"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from shoal.errors import TaskTimeoutError, UnsupportedOptionError
from shoal.protocol.places import Place
from shoal.task.actor_shape import NO_LIMIT, MethodShape, check_retried
from shoal.task.place import check_labels, place_of, with_strategy
from shoal.task.returns import Returns, check_items_ahead, check_num_returns
from shoal.task.traits import Traits

if TYPE_CHECKING:
    from shoal.runtime_env.fields import RuntimeEnv
    from shoal.task.strategies import SchedulingStrategy

RESERVED_RESOURCES = frozenset({"CPU", "GPU", "memory"})
MAX_TIMEOUT_S = 1e6
MOST_CPUS, MOST_GPUS, LEAST_STORE_BYTES = 1024, 32, 1 << 20  # of a node; the core could make no other
MIN_PRIORITY, MAX_PRIORITY = -128, 127
MAX_COUNT = 2**31 - 1  # of calls, retries and the like; -1 is for any number of them
MAX_BYTES = 2**63 - 1
# Options for which None asks for the default, as in Ray.
MAY_BE_NONE = ("num_cpus", "num_gpus", "memory", "resources", "max_pending_calls", "max_restarts", "max_task_retries")
CALL_RETRIES = 3  # of an actor with checkpoints: its state has seen nothing of the call that is repeated
DETACHED = "detached"
LIFETIMES = (None, "non_detached", DETACHED)
NAMED_ALREADY = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}


class TaskOptions(NamedTuple):
    """How a remote function runs. Resources are amounts, not indices."""

    num_cpus: float = 1
    num_gpus: float = 0
    resources: Mapping[str, float] = {}
    memory: float = 0  # bytes: demanded, and the most it may hold
    num_returns: int | str | None = None  # a number, "streaming", "dynamic"; None: 1, or "streaming" for a generator
    max_items_ahead: int | None = None  # of a stream: how many may lie there untaken; None: any number
    max_retries: int = 3  # on death of the worker, and as retry_exceptions says; -1: without end
    name: str | None = None
    retry_exceptions: bool | tuple[type[BaseException], ...] = False  # True: every Exception
    timeout: float | None = None  # seconds that an attempt may run
    priority: int = 0  # higher first, among the tasks of one job
    max_calls: int | None = None  # that one worker runs before it exits; 0: any number; None: until one used a GPU
    runtime_env: "RuntimeEnv | None" = None  # put over the caller's; None: the caller's
    scheduling_strategy: "SchedulingStrategy" = None  # where it runs; None: where the caller's children do
    label_selector: Mapping[str, str] = {}  # label of a node -> what it must be

    def place(self, captured: Place | None) -> Place:
        """Where it may run, when submitted by a task whose children run in `captured`."""
        return place_of(self.scheduling_strategy, self.label_selector, captured)

    def returns(self) -> Returns:
        """What the function declares to return."""
        return Returns(self.num_returns, self.max_items_ahead)

    def demands(self) -> dict[str, float]:
        """The resource shape, without zero amounts."""
        return demands(self.num_cpus, self.num_gpus, self.memory, self.resources)

    def is_overdue_retried(self) -> bool:
        """Whether an attempt that runs too long costs a retry: if that is listed, by itself or a base class."""
        listed = self.retry_exceptions
        return isinstance(listed, tuple) and any(issubclass(TaskTimeoutError, kind) for kind in listed)

    def traits(self) -> Traits:
        """What goes with the function to the worker."""
        return Traits(_types(self.retry_exceptions), self.max_calls)


class ActorOptions(NamedTuple):
    """How an actor runs. By default an actor holds no CPU while it lives."""

    num_cpus: float = 0
    num_gpus: float = 0
    resources: Mapping[str, float] = {}
    memory: float = 0
    max_concurrency: int | None = None  # None: 1, or 1000 for an actor with async methods
    name: str | None = None
    namespace: str | None = None
    get_if_exists: bool = False
    max_pending_calls: int = NO_LIMIT
    lifetime: str | None = None  # DETACHED, or None
    max_restarts: int = 0  # after the death of its process; -1: without end
    max_task_retries: int | None = None  # of a call in which the process died; -1: without end; None: 0 or CALL_RETRIES
    checkpoint_every: int = 0  # calls, after which its state is kept for a restart; 0: never
    concurrency_groups: Mapping[str, int] = {}  # name -> calls that may overlap
    runtime_env: "RuntimeEnv | None" = None  # put over the creator's; None: the creator's
    scheduling_strategy: "SchedulingStrategy" = None
    label_selector: Mapping[str, str] = {}

    def task_retries(self) -> int:
        """`max_task_retries`, by default that of such an actor."""
        default = CALL_RETRIES if self.checkpoint_every else 0
        return default if self.max_task_retries is None else self.max_task_retries

    def place(self, captured: Place | None) -> Place:
        """Where it may live, when created by a task whose children run in `captured`."""
        return place_of(self.scheduling_strategy, self.label_selector, captured)

    def demands(self) -> dict[str, float]:
        """The resource shape that the actor holds while it lives, without zero amounts."""
        return demands(self.num_cpus, self.num_gpus, self.memory, self.resources)


def demands(num_cpus: float, num_gpus: float, memory: float, resources: Mapping[str, float]) -> dict[str, float]:
    """One mapping of everything a call needs."""
    shape = {"CPU": float(num_cpus), "GPU": float(num_gpus), "memory": float(memory)}
    shape.update({kind: float(amount) for kind, amount in resources.items()})
    return {kind: amount for kind, amount in shape.items() if amount > 0}


Later = tuple[tuple[object, ...], str]  # values that ask for nothing, and what to do instead of others
# Options of Ray core that this release does not have.
LATER: dict[str, Later] = {
    "_actor_generator_backpressure_num_objects": ((None, -1), "give `max_items_ahead` to the methods that yield"),
    "_labels": ((None,), "`name` tells tasks apart"),
    "_num_objects_per_yield": ((None, 1), "yield one value at a time"),
    "accelerator_type": ((None,), "use `num_gpus`, or a custom resource"),
    "allow_out_of_order_execution": ((None, False), "calls of one caller start in order"),
    "enable_task_events": ((None, True, False), "it is True or False, and changes nothing"),
    "enable_tensor_transport": ((None, False), "tensors go through the object store"),
    "fallback_strategy": ((None,), "there is one node: give `label_selector` what must hold"),
    "object_store_memory": ((None, 0), "what does not fit into the store goes to disk; `memory` is for the process"),
    "tensor_transport": ((None, "object_store"), "tensors go through the object store"),
}


AHEAD_OF_RAY = "_generator_backpressure_num_objects"  # what Ray calls `max_items_ahead`


def merge_task(base: TaskOptions, given: Mapping[str, Any]) -> TaskOptions:
    """`base` with the given options put over it.

    Raises TypeError for an unknown name or a wrong type, ValueError for a value out of range, UnsupportedOptionError
    for an option of a later release.
    """
    known = _known(with_strategy(_with_our_names(given)), TaskOptions._fields, "a task")
    _check_common(known)
    if "num_returns" in known:
        check_num_returns(known["num_returns"])
    if "max_items_ahead" in known:
        known["max_items_ahead"] = check_items_ahead("max_items_ahead", known["max_items_ahead"])
    if "max_retries" in known and _integer("max_retries", known["max_retries"]) < -1:
        raise ValueError(f"max_retries must be -1 (no limit) or more, not {known['max_retries']}")
    if "retry_exceptions" in known:
        known["retry_exceptions"] = _exceptions(known["retry_exceptions"])
    if "priority" in known and not MIN_PRIORITY <= _integer("priority", known["priority"]) <= MAX_PRIORITY:
        raise ValueError(f"priority must be from {MIN_PRIORITY} to {MAX_PRIORITY}, not {known['priority']}")
    if known.get("max_calls") is not None and _integer("max_calls", known["max_calls"]) < 0:
        raise ValueError(f"max_calls must be 0 (no limit) or more, not {known['max_calls']}")
    if "timeout" in known:
        known["timeout"] = _timeout(known["timeout"])
    return base._replace(**known)


def merge_actor(base: ActorOptions, given: Mapping[str, Any]) -> ActorOptions:
    """`base` with the given options put over it; raises as `merge_task`."""
    known = _known(with_strategy(given), ActorOptions._fields, "an actor")
    _check_common(known)
    limit = known.get("max_concurrency")
    if limit is not None and _integer("max_concurrency", limit) < 1:
        raise ValueError(f"max_concurrency must be at least 1, not {limit}")
    if known.get("name") == "":
        raise ValueError("an actor's name must not be empty; leave `name` out for an actor without one")
    namespace = known.get("namespace")
    if namespace is not None and not (isinstance(namespace, str) and namespace):
        raise TypeError(f"namespace must be a non-empty string, not {namespace!r}")
    pending = _integer("max_pending_calls", known.get("max_pending_calls", NO_LIMIT))
    if pending < 1 and pending != NO_LIMIT:
        raise ValueError(f"max_pending_calls must be {NO_LIMIT} (no limit) or at least 1, not {pending}")
    for option in ("max_restarts", "max_task_retries"):
        _check_count(option, known.get(option, 0))
    if _integer("checkpoint_every", known.get("checkpoint_every", 0)) < 0:
        raise ValueError(f"checkpoint_every must be 0 (never) or a number of calls, not {known['checkpoint_every']}")
    if known.get("concurrency_groups", {}) is None:
        del known["concurrency_groups"]
    _check_groups(known.get("concurrency_groups", {}))
    if known.get("lifetime") not in LIFETIMES:
        raise ValueError(f"lifetime must be {DETACHED!r} or None, not {known['lifetime']!r}")
    merged = base._replace(**known)
    if merged.get_if_exists and merged.name is None:
        raise ValueError("get_if_exists=True needs a `name` to look for")
    return merged


def merge_method(base: MethodShape, given: Mapping[str, Any]) -> MethodShape:
    """`base` with the options of a method's `.options(...)` put over it; raises as `merge_task`."""
    known = _known(_with_our_names(given), (*MethodShape._fields, "name"), "an actor's method")
    group = known.get("concurrency_group")
    if group is not None and not isinstance(group, str):
        raise TypeError(f"concurrency_group must be the name of a group, not {group!r}")
    known.pop("name", None)  # calls are shown by class and method
    if "num_returns" in known:
        known["num_returns"] = check_num_returns(known["num_returns"])
        base = base._replace(max_items_ahead=None)  # that of another kind of returns
    if "max_items_ahead" in known:
        known["max_items_ahead"] = check_items_ahead("max_items_ahead", known["max_items_ahead"])
    if known.get("max_task_retries") is not None:
        _check_count("max_task_retries", known["max_task_retries"])
    if known.get("retry_exceptions") is not None and not isinstance(known["retry_exceptions"], bool):
        listed = _exceptions(known["retry_exceptions"])
        raise _unsupported("retry_exceptions", listed, "list the types where the method is defined, with @method")
    merged = base._replace(**known)
    check_retried(merged, retried=bool(merged.retry_exceptions))
    return merged


def merge_declared(given: Mapping[str, Any]) -> tuple[MethodShape, tuple[type[BaseException], ...]]:
    """The options of `@method(...)` -> what callers know of the method, and the exceptions that its actor retries."""
    shape = merge_method(MethodShape(), {option: given[option] for option in given if option != "retry_exceptions"})
    return shape, _types(_exceptions(given.get("retry_exceptions")))


def _with_our_names(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if AHEAD_OF_RAY not in given:
        return given
    if "max_items_ahead" in given:
        raise TypeError(f"max_items_ahead and {AHEAD_OF_RAY} are one option: give one of them")
    return {"max_items_ahead" if option == AHEAD_OF_RAY else option: value for option, value in given.items()}


LATER_OF_INIT: dict[str, tuple[object, ...]] = {
    "configure_logging": (True, None),
    "dashboard_host": (None,),
    "dashboard_port": (None,),
    "include_dashboard": (False, None),
    "job_config": (None,),
    "logging_config": (None,),
}


def check_init(
    later: Mapping[str, object],
    num_cpus: float | None,
    num_gpus: float | None,
    resources: Mapping[str, float] | None,
    object_store_memory: int | None,
    namespace: object,
    memory: int | None = None,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Refuse bad options of `init`; raises as `merge_task`."""
    check_labels("labels", labels)
    for option, value in later.items():
        if option not in LATER_OF_INIT:
            raise TypeError(f"{option!r} is not an option of init")
        if not _is_neutral(value, LATER_OF_INIT[option]):
            raise _unsupported(option, value, "leave it out")
    given = {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources}
    _check_common({option: value for option, value in given.items() if value is not None})
    for option, amount, most in (("num_cpus", num_cpus, MOST_CPUS), ("num_gpus", num_gpus, MOST_GPUS)):
        if amount is not None and (amount != int(amount) or amount > most):
            raise ValueError(f"{option}={amount}: a node has a whole number of them, {most:,} at most")
    for option, n_bytes in (("object_store_memory", object_store_memory), ("memory", memory)):
        if n_bytes is not None and _integer(option, n_bytes, MAX_BYTES) <= 0:
            raise ValueError(f"{option} must be a positive number of bytes, not {n_bytes}")
    if object_store_memory is not None and object_store_memory < LEAST_STORE_BYTES:
        raise ValueError(f"object_store_memory must be at least {LEAST_STORE_BYTES:,} bytes, not {object_store_memory}")
    if namespace is not None and not (isinstance(namespace, str) and namespace):
        raise TypeError(f"namespace must be a non-empty string, not {namespace!r}")


def check_spilling(directory: object, limit: object) -> None:
    """Refuse bad spilling options of `init`; raises TypeError, ValueError."""
    if directory is not None and not isinstance(directory, (str, os.PathLike)):
        raise TypeError(f"object_spilling_directory must be a path, not {directory!r}")
    if directory and not (os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)):
        raise ValueError(f"object_spilling_directory={directory!r} is not a folder that this user may write to")
    if limit is not None and _integer("object_spilling_limit", limit, MAX_BYTES) < 0:
        raise ValueError(f"object_spilling_limit must be 0 or a positive number of bytes, not {limit}")


def check_metrics_port(port: object) -> None:
    """Refuse a bad `metrics_export_port` of `init`; raises TypeError, ValueError, ImportError."""
    if port is None:
        return
    if not 0 <= _integer("metrics_export_port", port) < 1 << 16:
        raise ValueError(f"metrics_export_port must be from 0 to 65535, not {port}")
    from importlib.util import find_spec

    if find_spec("prometheus_client") is None:
        raise ImportError(
            "metrics_export_port needs prometheus-client, which is not installed: pip install 'shoal[metrics]'"
        )


def _known(
    given: Mapping[str, Any], fields: tuple[str, ...], whose: str, later: Mapping[str, Later] = LATER
) -> dict[str, Any]:
    known = {}
    for option, value in given.items():
        if option in fields:
            known[option] = value
        elif option in later:
            neutral, advice = later[option]
            if not _is_neutral(value, neutral):
                raise _unsupported(option, value, advice)
        else:
            raise TypeError(f"{option!r} is not an option of {whose}; the options are {', '.join(sorted(fields))}")
    for option in MAY_BE_NONE:
        if option in known and known[option] is None:
            del known[option]
    return known


def _is_neutral(value: object, neutral: tuple[object, ...]) -> bool:
    return any(type(value) is type(idle) and value == idle for idle in neutral)


def _unsupported(option: str, value: object, advice: str) -> UnsupportedOptionError:
    error = UnsupportedOptionError(f"{option}={value!r} is not supported by this release; {advice}")
    error.option = option
    return error


def _check_common(known: dict[str, Any]) -> None:
    for option in ("num_cpus", "num_gpus", "memory"):
        if option in known:
            _amount(option, known[option])
    gpus = known.get("num_gpus", 0)
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"num_gpus={gpus}: more than one GPU must be a whole number")
    resources = known.get("resources", {})
    if not isinstance(resources, Mapping):
        raise TypeError(f"resources must be a dict of amounts, not {type(resources).__name__}")
    for kind, amount in resources.items():
        if not isinstance(kind, str):
            raise TypeError(f"the resource {kind!r} must be named by a string")
        if kind in RESERVED_RESOURCES:
            raise ValueError(f"give {kind} as {NAMED_ALREADY[kind]}=..., not in resources")
        _amount(f"resources[{kind!r}]", amount)
    if known.get("runtime_env") is not None:
        from shoal.runtime_env.fields import RuntimeEnv  # 3 ms, paid by those who use it

        known["runtime_env"] = RuntimeEnv.of(known["runtime_env"])
    name = known.get("name")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__name__}")


def _amount(option: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{option} must be a number, not {type(value).__name__}")
    if not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{option} must be zero or more and finite, not {value}")
    if option != "memory" and round(value * 1000) != value * 1000 and abs(value * 1000 - round(value * 1000)) > 1e-6:
        raise ValueError(f"{option}={value}: amounts are multiples of 0.001")


def _integer(option: str, value: object, most: int = MAX_COUNT) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{option} must be an integer, not {type(value).__name__}")
    if value > most:
        raise ValueError(f"{option} must be at most {most:,}, not {value:,}")
    return value


def _timeout(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(value).__name__}")
    if not 0 < value <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout must be more than 0 and at most {MAX_TIMEOUT_S:g} seconds, or None, not {value}")
    return float(value)


def _exceptions(value: object) -> bool | tuple[type[BaseException], ...]:
    if value is None or isinstance(value, bool):
        return bool(value)
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"retry_exceptions must be True, False or a list of exception types, not {value!r}")
    for kind in value:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"retry_exceptions lists exception types, not {kind!r}")
    return tuple(value)


def _types(retried: bool | tuple[type[BaseException], ...]) -> tuple[type[BaseException], ...]:
    return retried if isinstance(retried, tuple) else (Exception,) if retried else ()


def _check_groups(groups: object) -> None:
    if not isinstance(groups, Mapping):
        raise TypeError(f"concurrency_groups must be a dict of names and limits, not {type(groups).__name__}")
    for name, limit in groups.items():
        if not (isinstance(name, str) and name):
            raise TypeError(f"a concurrency group is named by a non-empty string, not {name!r}")
        if _integer(f"concurrency_groups[{name!r}]", limit) < 1:
            raise ValueError(f"concurrency_groups[{name!r}] must be at least 1, not {limit}")


def _check_count(option: str, value: object) -> None:
    if _integer(option, value) < -1:
        raise ValueError(f"{option} must be -1 (no limit) or more, not {value}")

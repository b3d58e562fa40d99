# SPDX-License-Identifier: Apache-2.0
"""Inline mode by itself: calls run in this process, where a debugger sees them; what needs a node says so."""

import asyncio
import inspect
import os
import pdb
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.leftovers import threads

import shoal
from shoal import runtime
from shoal.util import state


@pytest.fixture(autouse=True)
def inline() -> Iterator[None]:
    shoal.init(mode="inline", num_cpus=2, num_gpus=2, resources={"arm": 1})
    yield
    shoal.shutdown()


@shoal.remote
class Counter:
    def __init__(self, n: int = 0) -> None:
        self.n = n

    def add(self, k: int = 1) -> int:
        self.n += k
        return self.n

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    def ask(self, other: Any) -> int:
        return int(shoal.get(other.add.remote()))


@shoal.remote
class Signal:
    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def wait(self) -> str:
        await self.event.wait()
        return "set"

    async def set(self) -> None:
        self.event.set()


# -- here


def test_a_call_runs_in_this_thread_before_remote_returns() -> None:
    seen: list[Any] = []
    sys.modules[__name__].__dict__["SEEN"] = seen

    @shoal.remote
    def look() -> None:
        callers = [frame.function for frame in inspect.stack()]
        sys.modules[__name__].__dict__["SEEN"].append((os.getpid(), threading.get_ident(), callers))

    look.remote()
    ((pid, thread, callers),) = seen
    assert (pid, thread) == (os.getpid(), threading.get_ident())
    assert "test_a_call_runs_in_this_thread_before_remote_returns" in callers


def test_a_breakpoint_stops_in_a_task_and_sees_its_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[tuple[str, Any]] = []

    def hook(*_: Any, **__: Any) -> None:
        frame = sys._getframe(1)
        stops.append((frame.f_code.co_name, frame.f_locals["x"]))

    monkeypatch.setattr(sys, "breakpointhook", hook)

    @shoal.remote
    def task(x: int) -> int:
        breakpoint()
        return x + 1

    @shoal.remote
    class Actor:
        async def method(self, x: int) -> int:
            breakpoint()
            return x

    assert shoal.get(task.remote(1)) == 2
    assert shoal.get(Actor.remote().method.remote(5)) == 5
    assert stops == [("task", 1), ("method", 5)]


def test_quitting_the_debugger_ends_the_program_and_not_only_the_task() -> None:
    @shoal.remote(max_retries=3, retry_exceptions=True)
    def task() -> None:
        raise pdb.bdb.BdbQuit

    with pytest.raises(pdb.bdb.BdbQuit):
        task.remote()

    @shoal.remote
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted.remote()
    assert shoal.get(Counter.remote().add.remote()) == 1


def test_there_is_no_other_process_and_no_shared_memory() -> None:
    program = (
        "import shoal, psutil\n"
        "shoal.init(mode='inline')\n"
        "@shoal.remote\n"
        "class Counter:\n"
        "    def add(self): return 1\n"
        "print(shoal.get([Counter.remote().add.remote() for _ in range(3)]), psutil.Process().children())\n"
        "print('memfd:shoal' in open('/proc/self/maps').read())\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[1, 1, 1] []\nFalse\n"


def test_nothing_of_it_is_left_after_shutdown() -> None:
    shoal.shutdown()
    before = threads()
    shoal.init(mode="inline")
    signal = Signal.remote()
    waiting = signal.wait.remote()
    shoal.shutdown()
    assert threads() - before == set()
    with pytest.raises(shoal.NotConnectedError):
        runtime.connected()
    del waiting


# -- as on a node


def test_values_are_copies_and_arrays_read_only() -> None:
    array = np.arange(3)
    ref = shoal.put(array)
    array[0] = 7
    found = shoal.get(ref)
    assert list(found) == [0, 1, 2]
    assert not found.flags.writeable
    shared = [1]

    @shoal.remote
    def append(to: list[int]) -> list[int]:
        to.append(2)
        return to

    assert shoal.get(append.remote(shared)) == [1, 2]
    assert shared == [1]


def test_a_full_call_is_refused_as_on_a_node() -> None:
    with pytest.raises(shoal.SerializationError, match=r"args\[0\]"):
        Counter.remote(threading.Lock())
    with pytest.raises(TypeError, match="not an option"):
        Counter.options(speed=3)


def test_signals_between_coroutines_and_the_driver() -> None:
    signal = Signal.remote()
    waiting = [signal.wait.remote() for _ in range(3)]
    assert shoal.wait(waiting, timeout=0) == ([], waiting)

    @shoal.remote
    def after(text: str) -> str:
        return text + "!"

    later = after.remote(waiting[0])
    with pytest.raises(shoal.GetTimeoutError):
        shoal.get(later, timeout=0)
    signal.set.remote()
    assert shoal.get([*waiting, later]) == ["set", "set", "set", "set!"]


def test_awaits_in_the_drivers_own_loop() -> None:
    async def main() -> list[Any]:
        signal = Signal.remote()
        waiting = asyncio.create_task(_awaited(signal.wait.remote()))
        await asyncio.sleep(0)
        await signal.set.remote()
        stream = Counter.remote().count.remote(2)
        return [await waiting, *[await ref async for ref in stream]]

    assert asyncio.run(main()) == ["set", 0, 1]


async def _awaited(ref: Any) -> Any:
    return await ref


def test_futures_are_settled() -> None:
    signal = Signal.remote()
    future = signal.wait.remote().future()
    assert not future.done()
    signal.set.remote()
    assert future.result(timeout=60) == "set"


def test_a_generator_runs_as_far_as_it_is_asked() -> None:
    ran: list[int] = []
    sys.modules[__name__].__dict__["RAN"] = ran

    @shoal.remote
    def endless() -> Iterator[int]:
        at = 0
        while True:
            sys.modules[__name__].__dict__["RAN"].append(at)
            yield at
            at += 1

    stream = endless.remote()
    assert ran == []
    assert [shoal.get(next(stream)) for _ in range(2)] == [0, 1]
    assert ran == [0, 1]
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    assert shoal.get(stream.completed()) is None


def test_an_actors_next_call_finds_its_generator_at_its_end() -> None:
    counter = Counter.remote()
    stream = counter.count.remote(3)
    assert shoal.get(counter.add.remote()) == 1
    assert [shoal.get(ref) for ref in stream] == [0, 1, 2]


def test_a_queued_call_is_cancelled() -> None:
    signal = Signal.remote()

    @shoal.remote
    def after(text: str) -> str:
        return text

    waiting = signal.wait.remote()
    later = after.remote(waiting)
    shoal.cancel(later)
    with pytest.raises(shoal.TaskCancelledError, match="cancelled"):
        shoal.get(later)
    shoal.cancel(waiting)
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(waiting)
    signal.set.remote()
    assert shoal.get(signal.wait.remote()) == "set"


def test_a_call_that_nobody_cancelled_is_told_so() -> None:
    @shoal.remote
    def own() -> bool:
        return shoal.get_runtime_context().is_canceled()

    assert shoal.get(own.remote()) is False


def test_a_killed_actor_is_gone_and_its_name_free() -> None:
    counter = Counter.options(name="c").remote()
    assert shoal.get(shoal.get_actor("c").add.remote()) == 1
    shoal.kill(counter)
    with pytest.raises(shoal.ActorDiedError, match="killed"):
        shoal.get(counter.add.remote())
    with pytest.raises(shoal.ActorNotFoundError):
        shoal.get_actor("c")


def test_an_actor_is_constructed_again() -> None:
    counter = Counter.options(max_restarts=1).remote(5)
    assert shoal.get(counter.add.remote()) == 6
    shoal.kill(counter, no_restart=False)
    assert shoal.get(counter.add.remote()) == 6
    shoal.kill(counter, no_restart=False)
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(counter.add.remote())


def test_actors_end_with_their_last_handles_and_give_resources_back() -> None:
    holder = Counter.options(resources={"arm": 1}, num_gpus=1).remote()
    other = Counter.options(resources={"arm": 1}).remote()
    waiting = other.add.remote()
    assert shoal.available_resources()["GPU"] == 1
    assert shoal.wait([waiting], timeout=0)[0] == []
    del holder
    assert shoal.get(waiting) == 1


def test_a_handle_that_goes_amid_a_look_at_the_records_ends_its_actor_after_it() -> None:
    handles = [Counter.options(name=name).remote() for name in ("a", "b")]
    engine = runtime.connected().client.engine  # type: ignore[attr-defined]  # an InlineClient
    with engine.lock:  # as the collector of garbage may run a finalizer
        records = iter(engine.actors.values())
        next(records)
        handles.clear()
        next(records)
    assert shoal.util.list_named_actors() == []


def test_gpus_are_given_out() -> None:
    @shoal.remote(num_gpus=1)
    def gpus() -> list[int]:
        return list(shoal.get_gpu_ids())

    assert shoal.get(gpus.remote()) == [0]
    holder = Counter.options(num_gpus=1).remote()
    shoal.get(holder.add.remote())
    assert shoal.get(gpus.remote()) == [1]


# -- what cannot be


def test_a_wait_that_cannot_end_says_so() -> None:
    counter = Counter.remote()
    with pytest.raises(shoal.DeadlockError, match="Counter is at another call"):
        shoal.get(counter.ask.remote(counter))
    never = Signal.remote().wait.remote()
    with pytest.raises(shoal.DeadlockError):
        shoal.get(never)
    with pytest.warns(shoal.InfeasibleResourcesWarning):
        too_much = Counter.options(resources={"leg": 1}).remote().add.remote()
    with pytest.raises(shoal.DeadlockError):
        shoal.get(too_much)


def test_what_needs_a_node_names_it() -> None:
    with pytest.raises(shoal.InlineModeError, match="inline mode"):
        state.list_tasks()
    shoal.shutdown()
    with pytest.raises(ValueError, match="address"):
        shoal.init(address="auto", mode="inline")
    with pytest.raises(ValueError, match="mode must be"):
        shoal.init(mode="fast")  # type: ignore[arg-type]


def test_refs_of_another_connection_are_refused() -> None:
    ref, counter = shoal.put(1), Counter.remote()
    shoal.shutdown()
    shoal.init(mode="inline")
    with pytest.raises(shoal.InvalidReferenceError):
        shoal.get(ref)
    with pytest.raises(shoal.InvalidReferenceError):
        counter.add.remote()
    assert repr(ref) == "ObjectRef(closed)"


def test_an_executor_waits_for_room_as_on_a_node() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Held:
        """Its argument is pickled for as long as the test says, and the executor is full meanwhile."""

        def __reduce__(self) -> tuple[Any, ...]:
            entered.set()
            assert leave.wait(60)
            return int, ()

    with shoal.Executor(max_workers=1) as executor:
        first = threading.Thread(target=executor.submit, args=(abs, Held()))
        first.start()
        assert entered.wait(60)
        second = executor.submit(abs, -2)
        threading.Timer(0.1, leave.set).start()
        assert second.result() == 2
        first.join()


def test_rays_local_mode_and_the_variable_mean_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shoal.shutdown()
    shoal.init(local_mode=True)
    assert runtime.connected().session.startswith("inline-")
    shoal.shutdown()
    monkeypatch.setenv("SHOAL_MODE", "inline")
    with shoal.init() as context:
        assert context.session.startswith("inline-")

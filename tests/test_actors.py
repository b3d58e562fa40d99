# SPDX-License-Identifier: Apache-2.0
"""Actors: state, order, names, handles, threads, and all the ways they end."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shoal


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    shoal.init(num_cpus=2, resources={"slot": 1})
    yield
    shoal.shutdown()


@shoal.remote
class Counter:
    """Counts."""

    def __init__(self, start: int = 0, *, step: int = 1) -> None:
        self.value = start
        self.step = step

    def increment(self, by: int = 1) -> int:
        self.value += by * self.step
        return self.value

    def read(self) -> int:
        return self.value

    def pid(self) -> int:
        return os.getpid()

    def fail(self) -> None:
        raise ValueError("boom")

    @shoal.method(num_returns=2)
    def pair(self) -> Any:
        return self.value, -self.value

    def leave(self) -> None:
        shoal.exit_actor()


def gone(handle: Any) -> shoal.ActorDiedError:
    with pytest.raises(shoal.ActorDiedError) as caught:
        shoal.get(handle.read.remote(), timeout=60)
    return caught.value


def test_state_is_kept_between_calls() -> None:
    counter = Counter.remote(10, step=2)
    assert shoal.get([counter.increment.remote() for _ in range(3)]) == [12, 14, 16]


def test_calls_of_one_caller_run_in_order() -> None:
    counter = Counter.remote()
    assert shoal.get([counter.increment.remote() for _ in range(2_000)]) == list(range(1, 2_001))


def test_calls_with_arguments_that_are_not_ready_keep_the_order(tmp_path: Path) -> None:
    @shoal.remote
    def read(path: str) -> int:
        with open(path) as file:
            return int(file.read())

    os.mkfifo(tmp_path / "gate")
    counter, other = Counter.remote(), Counter.remote()
    first = counter.increment.remote(read.remote(str(tmp_path / "gate")))
    second = counter.increment.remote(1)
    assert shoal.get(other.read.remote()) == 0
    assert shoal.wait([first, second], timeout=0.05)[0] == []
    (tmp_path / "gate").write_text("10")
    assert shoal.get([first, second]) == [10, 11]


def test_every_actor_has_a_process_of_its_own() -> None:
    pids = shoal.get([counter.pid.remote() for counter in [Counter.remote() for _ in range(4)]])
    assert len(set(pids)) == 4
    assert os.getpid() not in pids


def test_methods_declare_their_returns() -> None:
    counter = Counter.remote(3)
    assert shoal.get(counter.pair.remote()) == [3, -3]
    assert shoal.get(counter.pair.options(num_returns=1).remote()) == (3, -3)


def test_refs_as_arguments_of_methods_and_constructors() -> None:
    counter = Counter.remote(shoal.put(5))
    assert shoal.get(counter.increment.remote(shoal.put(2))) == 7


def test_an_error_of_a_method_leaves_the_actor_alive() -> None:
    counter = Counter.remote(1)
    with pytest.raises(ValueError, match="boom") as caught:
        shoal.get(counter.fail.remote())
    assert isinstance(caught.value, shoal.TaskError)
    assert caught.value.task_name == "Counter.fail"
    assert shoal.get(counter.read.remote()) == 1


def test_the_constructors_error_reaches_every_caller() -> None:
    @shoal.remote
    class Broken:
        def __init__(self) -> None:
            raise KeyError("config")

        def read(self) -> None: ...

    broken = Broken.remote()
    for call in [broken.read.remote(), broken.read.remote()]:
        with pytest.raises(shoal.ActorDiedError, match="constructor") as caught:
            shoal.get(call, timeout=60)
        assert isinstance(caught.value.cause, KeyError)
    assert isinstance(gone(broken).cause, KeyError)


def test_kill_ends_the_actor_and_its_calls() -> None:
    @shoal.remote
    class Stuck:
        def read(self) -> None:
            threading.Event().wait()

    stuck = Stuck.remote()
    calls = [stuck.read.remote() for _ in range(3)]
    shoal.kill(stuck)
    for call in calls:
        with pytest.raises(shoal.ActorDiedError):
            shoal.get(call, timeout=60)
    gone(stuck)
    shoal.kill(stuck)


def test_kill_takes_handles_only() -> None:
    with pytest.raises(TypeError, match="handle"):
        shoal.kill(shoal.put(1))  # type: ignore[arg-type]


def test_an_actor_that_crashes_is_told_with_its_signal() -> None:
    @shoal.remote
    class Crashing:
        def read(self) -> None:
            print("last words", file=sys.stderr)
            os.kill(os.getpid(), signal.SIGKILL)

    crashing = Crashing.remote()
    error = gone(crashing)
    assert error.signal == signal.SIGKILL
    assert "last words" in error.stderr


def test_exit_actor_and_sys_exit_end_it_with_a_reason() -> None:
    counter = Counter.remote()
    with pytest.raises(shoal.ActorDiedError, match="exit_actor"):
        shoal.get(counter.leave.remote())
    assert "exit_actor" in str(gone(counter))


def test_an_actor_exits_when_its_last_handle_is_gone() -> None:
    counter = Counter.remote()
    process = os.pidfd_open(shoal.get(counter.pid.remote()))
    del counter
    gc.collect()
    assert wait_for_exit(process)


def test_calls_in_flight_end_before_the_actor_does() -> None:
    ref = Counter.remote(41).increment.remote()
    assert shoal.get(ref, timeout=60) == 42


def wait_for_exit(process: int) -> bool:
    import select

    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


def test_handles_travel_in_arguments_containers_and_returns() -> None:
    @shoal.remote
    def use(handles: dict[str, Any]) -> int:
        return shoal.get(handles["counter"].increment.remote(5))

    @shoal.remote
    def make() -> Any:
        return Counter.remote(100)

    @shoal.remote
    class Owner:
        def __init__(self, counter: Any) -> None:
            self.counter = counter

        def use(self) -> int:
            return shoal.get(self.counter.increment.remote())

        def give(self) -> Any:
            return self.counter

    counter = Counter.remote()
    assert shoal.get(use.remote({"counter": counter})) == 5
    assert shoal.get(shoal.get(make.remote()).increment.remote()) == 101
    owner = Owner.remote(counter)
    assert shoal.get(owner.use.remote()) == 6
    del counter
    given = shoal.get(owner.give.remote())
    assert shoal.get(given.increment.remote()) == 7


def test_methods_of_handles_can_be_passed_too() -> None:
    @shoal.remote
    def call(method: Any) -> int:
        return shoal.get(method.remote(5))

    counter = Counter.remote(1)
    assert shoal.get(call.remote(counter.increment)) == 6


def test_a_handle_alone_in_the_store_keeps_the_actor_alive() -> None:
    ref = shoal.put([Counter.remote(1)])
    gc.collect()
    assert shoal.get(shoal.get(ref)[0].increment.remote()) == 2


def test_handles_of_one_actor_are_equal() -> None:
    counter = Counter.remote()
    same = shoal.get(shoal.put(counter))
    assert same == counter
    assert hash(same) == hash(counter)
    assert counter != Counter.remote()


def test_named_actors_are_found_until_they_die() -> None:
    counter = Counter.options(name="found").remote(1)
    assert shoal.get(shoal.get_actor("found").increment.remote()) == 2
    with pytest.raises(shoal.ActorNameTakenError, match="found"):
        Counter.options(name="found").remote()
    shoal.kill(counter)
    gone(counter)
    with pytest.raises(ValueError, match="found") as caught:
        shoal.get_actor("found")
    assert isinstance(caught.value, shoal.ActorNotFoundError)


@pytest.mark.parametrize(("name", "namespace"), [(5, None), (b"found", None), (None, None), ("found", 5)])
def test_a_name_that_is_no_string_is_refused(name: Any, namespace: Any) -> None:
    with pytest.raises(TypeError, match="is a string, not"):
        shoal.get_actor(name, namespace)
    assert shoal.get(Counter.remote(1).read.remote()) == 1  # and harms nobody


def test_names_live_in_namespaces() -> None:
    one = Counter.options(name="same", namespace="one").remote(1)
    two = Counter.options(name="same", namespace="two").remote(2)
    assert shoal.get(shoal.get_actor("same", namespace="one").read.remote()) == 1
    assert shoal.get(shoal.get_actor("same", "two").read.remote()) == 2
    with pytest.raises(shoal.ActorNotFoundError):
        shoal.get_actor("same")
    assert one != two


def test_get_if_exists_returns_the_living_one() -> None:
    first = Counter.options(name="shared", get_if_exists=True).remote(1)
    second = Counter.options(name="shared", get_if_exists=True).remote(99)
    assert first == second
    assert shoal.get(second.read.remote()) == 1


def test_a_worker_finds_the_drivers_named_actor() -> None:
    @shoal.remote
    def use() -> int:
        return shoal.get(shoal.get_actor("for workers").increment.remote())

    counter = Counter.options(name="for workers").remote()
    assert shoal.get([use.remote(), use.remote()]) in ([1, 2], [2, 1])
    assert shoal.get(counter.read.remote()) == 2


def test_an_actor_holds_its_resources_while_it_lives() -> None:
    holder = Counter.options(resources={"slot": 1}).remote(1)
    waiting = Counter.options(resources={"slot": 1}).remote(2)
    call = waiting.read.remote()
    assert shoal.get(holder.read.remote()) == 1
    assert shoal.wait([call], timeout=0.1)[0] == []
    shoal.kill(holder)
    assert shoal.get(call, timeout=60) == 2


def test_many_actors_need_no_cpus() -> None:
    counters = [Counter.remote(n) for n in range(20)]
    assert shoal.get([counter.read.remote() for counter in counters]) == list(range(20))


def test_a_threaded_actor_overlaps_its_calls() -> None:
    @shoal.remote(max_concurrency=4)
    class Meeting:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(4)

        def meet(self) -> int:
            return self.barrier.wait(60)

        def name(self) -> Any:
            return shoal.get_runtime_context().get_task_name()

    meeting = Meeting.remote()
    assert sorted(shoal.get([meeting.meet.remote() for _ in range(4)])) == [0, 1, 2, 3]
    assert sorted(shoal.get([meeting.meet.remote() for _ in range(8)])) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert shoal.get([meeting.name.remote() for _ in range(10)]) == ["Meeting.name"] * 10


def test_threads_in_flight_end_before_an_actor_without_handles_does(tmp_path: Path) -> None:
    @shoal.remote(max_concurrency=3)
    class Reader:
        def read(self, path: str) -> str:
            return Path(path).read_text()

    os.mkfifo(tmp_path / "gate")
    reader = Reader.remote()
    call = reader.read.remote(str(tmp_path / "gate"))
    assert shoal.wait([call], timeout=0.1)[0] == []
    del reader
    (tmp_path / "gate").write_text("opened")
    assert shoal.get(call, timeout=60) == "opened"


def test_exit_actor_ends_a_threaded_actor_at_once() -> None:
    @shoal.remote(max_concurrency=3)
    class Leaving:
        def pid(self) -> int:
            return os.getpid()

        def leave(self) -> None:
            shoal.exit_actor()

    leaving = Leaving.remote()
    process = os.pidfd_open(shoal.get(leaving.pid.remote()))
    with pytest.raises(shoal.ActorDiedError, match="exit_actor"):
        shoal.get(leaving.leave.remote(), timeout=60)
    assert wait_for_exit(process)


def test_several_callers_of_one_actor() -> None:
    @shoal.remote
    def call(counter: Any, n: int) -> list[int]:
        return shoal.get([counter.increment.remote() for _ in range(n)])

    counter = Counter.remote()
    seen = shoal.get([call.remote(counter, 200) for _ in range(4)])
    assert all(values == sorted(values) for values in seen)
    assert sorted(value for values in seen for value in values) == list(range(1, 801))


def test_plain_classes_inherit_from_actor_classes() -> None:
    class Twice(Counter):  # type: ignore[misc, valid-type]
        def increment(self, by: int = 1) -> int:
            return super().increment(2 * by)

    assert shoal.get(shoal.remote(Twice).remote().increment.remote()) == 2


def test_an_actor_knows_itself() -> None:
    @shoal.remote
    class Self:
        def ids(self) -> Any:
            here = shoal.get_runtime_context()
            return here.get_actor_id(), here.get_actor_name(), here.get_task_name()

    actor_id, name, task = shoal.get(Self.options(name="self").remote().ids.remote())
    assert actor_id
    assert (name, task.split(".")[-1]) == ("self", "ids")


def test_wrong_use_is_refused_with_advice() -> None:
    counter = Counter.remote()
    with pytest.raises(TypeError, match=r"Counter\.remote"):
        Counter()
    with pytest.raises(TypeError, match=r"increment\.remote"):
        counter.increment()
    with pytest.raises(AttributeError, match="no method 'decrement'"):
        counter.decrement  # noqa: B018
    with pytest.raises(AttributeError, match="own process"):
        counter.value = 1
    with pytest.raises(shoal.UnsupportedOptionError, match="accelerator_type"):
        Counter.options(accelerator_type="A100")
    assert "increment" in dir(counter)
    assert "Counter" in repr(counter)
    assert "increment" in repr(counter.increment)

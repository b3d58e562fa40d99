# SPDX-License-Identifier: Apache-2.0
"""`Executor`: what `concurrent.futures` promises, over a node's workers."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import pytest
from tests.util.gates import Gates, pass_gate

import shoal

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture
def executor() -> Iterator[shoal.Executor]:
    with shoal.Executor() as made:
        yield made


def add(a: int, b: int = 1) -> int:
    return a + b


def invert(x: int) -> float:
    return 1 / x


def die() -> None:
    os._exit(7)


def test_a_call_gives_its_value_or_its_error(executor: shoal.Executor) -> None:
    assert executor.submit(add, 1).result() == 2
    assert executor.submit(add, 1, b=5).result(timeout=60) == 6
    failed = executor.submit(invert, 0)
    assert isinstance(failed.exception(), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        failed.result()


@pytest.mark.parametrize("fn", [partial(add, 1), (1).__add__, lambda b: 1 + b, add], ids=repr)
def test_any_callable_runs(executor: shoal.Executor, fn: Callable[[int], int]) -> None:
    assert executor.submit(fn, 2).result() == 3


def test_a_closure_is_taken_as_it_is_at_each_call(executor: shoal.Executor) -> None:
    n = 1

    def read() -> int:
        return n

    assert executor.submit(read).result() == 1
    n = 2
    assert executor.submit(read).result() == 2


def test_thousands_of_calls(executor: shoal.Executor) -> None:
    calls = [executor.submit(add, n) for n in range(3000)]
    assert [call.result() for call in calls] == list(range(1, 3001))


def test_wait_and_as_completed_see_every_call(executor: shoal.Executor) -> None:
    calls = [executor.submit(add, n) for n in range(300)]
    assert {call.result() for call in futures.as_completed(calls, timeout=60)} == set(range(1, 301))
    calls = [executor.submit(add, n) for n in range(300)]
    done, rest = futures.wait(calls, timeout=60)
    assert (len(done), len(rest)) == (300, 0)


def test_callbacks_are_called(executor: shoal.Executor) -> None:
    called = threading.Event()
    executor.submit(add, 1).add_done_callback(lambda call: called.set())
    assert called.wait(60)


def test_map_keeps_the_order(executor: shoal.Executor) -> None:
    assert list(executor.map(add, range(200), range(200, 400))) == [n + n + 200 for n in range(200)]
    assert list(executor.map(add, range(205), chunksize=10)) == list(range(1, 206))
    assert list(executor.map(lambda n: n * 2, range(25), chunksize=10)) == [2 * n for n in range(25)]
    assert list(executor.map(add, [])) == []


def test_map_with_a_buffer_takes_items_as_they_are_asked_for(executor: shoal.Executor) -> None:
    numbers = executor.map(add, count(), buffersize=4)
    assert [next(numbers) for _ in range(20)] == list(range(1, 21))


def test_map_raises_the_error_in_its_place(executor: shoal.Executor) -> None:
    results = executor.map(invert, [1, 0])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_time_outs(executor: shoal.Executor, gates: Gates) -> None:
    path = gates.new("gate")
    call = executor.submit(pass_gate, path)
    for ask in (call.result, call.exception):
        with pytest.raises(futures.TimeoutError):
            ask(timeout=0.01)
    with pytest.raises(futures.TimeoutError):
        next(executor.map(pass_gate, [gates.new("other")], timeout=0.01))
    gates.open(path)
    assert call.result() == "gate"
    gates.open(path.replace("gate", "other"))


def test_a_result_that_comes_as_the_time_ends_is_not_lost(executor: shoal.Executor) -> None:
    call = executor.submit(add, 1)
    call.result()  # the executor has its dispatcher
    dispatcher = executor._dispatcher
    assert dispatcher is not None
    client = dispatcher._client

    class Late:
        """Its time ends in the moment in which the value is there."""

        def get(self, ref: Any, timeout_s: float | None = None) -> Any:
            value = client.get(ref)
            if timeout_s is not None:
                raise shoal.GetTimeoutError
            return value

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    call = executor.submit(add, 2)
    dispatcher._client = Late()  # type: ignore[assignment]
    with suppress(futures.TimeoutError):
        call.result(timeout=0.001)
    assert call.result() == 3
    dispatcher._client = client


def test_a_wait_that_can_never_end_raises() -> None:
    executor = shoal.Executor(resources={"what nobody has": 1})
    with pytest.warns(shoal.InfeasibleResourcesWarning):
        call = executor.submit(add, 1)
    with pytest.raises(shoal.DeadlockError):
        call.result()
    with pytest.raises(shoal.DeadlockError):
        executor.shutdown()
    shoal.cancel(call.in_flight[2])  # type: ignore[attr-defined]


@shoal.remote
def sum_backwards() -> int:
    executor = shoal.Executor()
    calls = [executor.submit(add, n) for n in range(10)]
    return sum(call.result() for call in reversed(calls))  # the last waits for room when it is asked for


def test_a_task_that_waits_for_calls_does_not_keep_the_cpu_from_them() -> None:
    refs = [sum_backwards.remote() for _ in range(3)]  # one more than there are CPUs
    assert shoal.get(refs, timeout=60) == [55, 55, 55]


def test_what_waits_can_be_cancelled_and_what_runs_cannot(gates: Gates) -> None:
    with shoal.Executor(max_workers=1) as executor:
        path = gates.new("gate")
        running, waiting = executor.submit(pass_gate, path), executor.submit(add, 1)
        last = executor.submit(add, 2)
        assert running.running()
        assert not waiting.running()
        assert not running.cancel()
        assert waiting.cancel()
        with pytest.raises(futures.CancelledError):
            waiting.result()
        gates.open(path)
        assert running.result() == "gate"
        assert last.result() == 3


def test_max_workers_bounds_what_is_in_flight(gates: Gates) -> None:
    with shoal.Executor(max_workers=2, num_cpus=0) as executor:
        paths = [gates.new(name) for name in "abc"]
        calls = [executor.submit(pass_gate, path) for path in paths]
        assert [call.running() for call in calls] == [True, True, False]
        for path in paths:
            gates.open(path)
        assert [call.result() for call in calls] == list("abc")


def test_shutdown_cancels_what_waits_and_ends_the_rest(gates: Gates) -> None:
    executor = shoal.Executor(max_workers=1)
    path = gates.new("gate")
    running, waiting = executor.submit(pass_gate, path), executor.submit(add, 1)
    executor.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(add, 1)
    gates.open(path)
    executor.shutdown()
    assert running.done()
    executor.shutdown()


def test_leaving_the_block_waits_for_all_calls() -> None:
    with shoal.Executor(max_workers=1) as executor:
        calls = [executor.submit(add, n) for n in range(50)]
    assert all(call.done() for call in calls)


def test_a_callback_may_shut_the_executor_down() -> None:
    executor = shoal.Executor()
    others = [executor.submit(add, n) for n in range(20)]
    done = threading.Event()

    def end(call: object) -> None:
        executor.shutdown()
        done.set()

    executor.submit(add, 1).add_done_callback(end)
    assert done.wait(60)
    assert all(call.done() for call in others)


def test_a_dead_worker_breaks_its_own_call_alone(executor: shoal.Executor) -> None:
    broken, other = executor.submit(die), executor.submit(add, 1)
    with pytest.raises(futures.BrokenExecutor):
        broken.result()
    error = broken.exception()
    assert isinstance(error, shoal.BrokenExecutorError)
    assert error.exit_code == 7
    assert other.result() == 2
    assert executor.submit(add, 2).result() == 3


def test_what_cannot_be_pickled_is_an_error_of_the_future(executor: shoal.Executor) -> None:
    error = executor.submit(add, threading.Lock()).exception()  # type: ignore[arg-type]
    assert isinstance(error, shoal.SerializationError)


def test_event_loops_use_it(executor: shoal.Executor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, add, n) for n in range(50)))

    assert asyncio.run(main()) == list(range(1, 51))


def test_the_initializer_runs_first_and_its_error_breaks_the_call() -> None:
    def keep(value: int) -> None:
        os.environ["SHOAL_TEST_INITIALIZED"] = str(value)

    with shoal.Executor(initializer=keep, initargs=(5,)) as executor:
        assert list(executor.map(os.getenv, ["SHOAL_TEST_INITIALIZED"] * 10)) == ["5"] * 10
    with shoal.Executor(initializer=invert, initargs=(0,)) as executor:
        call = executor.submit(add, 1)
    with pytest.raises(futures.BrokenExecutor, match="initializer"):
        call.result()


def test_bad_arguments_are_refused(executor: shoal.Executor) -> None:
    for max_workers, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error):
            shoal.Executor(max_workers=max_workers)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        shoal.Executor(colour="red")
    with pytest.raises(TypeError):
        shoal.Executor(initializer=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="chunksize"):
        executor.map(add, [], chunksize=0)
    with pytest.raises(ValueError, match="buffersize"):
        executor.map(add, [], buffersize=0)
    with pytest.raises(TypeError, match="functions"):
        executor.submit(3)  # type: ignore[arg-type]


def test_a_program_ends_when_its_calls_have(script: "Callable[..., subprocess.Popen[str]]") -> None:
    program = script("""
        import shoal

        def work(n):
            print("ran", n, flush=True)

        shoal.init(num_cpus=1)
        executor = shoal.Executor()
        for n in range(20):
            executor.submit(work, n)
    """)
    out, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    assert out.count("ran") == 20


def test_an_executor_of_an_ended_connection_says_so(script: "Callable[..., subprocess.Popen[str]]") -> None:
    program = script("""
        import time
        import shoal

        shoal.init(num_cpus=1)
        executor = shoal.Executor(max_workers=1)
        call = executor.submit(time.sleep, 1000)
        waiting = executor.submit(abs, 1)
        shoal.shutdown()
        gone = (shoal.NotConnectedError, shoal.NodeDiedError)
        print(isinstance(call.exception(timeout=60), gone), isinstance(waiting.exception(timeout=60), gone))
        try:
            executor.submit(abs, 1)
        except shoal.NotConnectedError:
            print("refused")
        executor.shutdown()
    """)
    out, err = program.communicate(timeout=60)
    assert out.splitlines() == ["True True", "refused"], err


def test_a_forked_child_neither_waits_for_its_calls_nor_uses_it(script: "Callable[..., subprocess.Popen[str]]") -> None:
    program = script("""
        import os
        import time
        import shoal

        shoal.init(num_cpus=1)
        executor = shoal.Executor()
        call = executor.submit(time.sleep, 1)
        child = os.fork()
        if child == 0:
            try:
                executor.submit(abs, 1)
            except shoal.NotConnectedError:
                executor.shutdown(cancel_futures=True)
                os._exit(5)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), call.result())
    """)
    out, err = program.communicate(timeout=60)
    assert out == "5 None\n", err

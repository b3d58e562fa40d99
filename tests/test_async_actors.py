# SPDX-License-Identifier: Apache-2.0
"""asyncio on both sides: actors with async methods, and refs in event loops."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import shoal

pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote
def add(a: int, b: int = 1) -> int:
    return a + b


@shoal.remote
class Gate:
    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.n_waiting = 0

    async def wait(self) -> int:
        self.n_waiting += 1
        await self.opened.wait()
        return self.n_waiting

    def waiting(self) -> int:
        return self.n_waiting

    async def open(self) -> None:
        self.opened.set()


def test_calls_overlap_while_they_await() -> None:
    gate = Gate.remote()
    calls = [gate.wait.remote() for _ in range(10)]
    gate.open.remote()
    assert shoal.get(calls, timeout=60) == [10] * 10


def test_thousands_of_calls_in_flight() -> None:
    gate = Gate.options(max_concurrency=5_000).remote()
    calls = [gate.wait.remote() for _ in range(4_000)]
    gate.open.remote()
    assert shoal.get(calls, timeout=60) == [4_000] * 4_000


def test_max_concurrency_bounds_what_is_in_flight() -> None:
    gate = Gate.options(max_concurrency=2).remote()
    calls = [gate.wait.remote() for _ in range(5)]
    last = gate.waiting.remote()
    assert shoal.wait([*calls, last], timeout=0.2)[0] == []
    shoal.kill(gate)


def test_a_long_queue_of_plain_calls_does_not_keep_calls_in_flight_from_going_on() -> None:
    @shoal.remote
    class Mixed:
        def __init__(self) -> None:
            self.n_plain = 0

        def plain(self) -> None:
            self.n_plain += 1

        async def turns(self) -> int:
            await asyncio.sleep(0)
            return self.n_plain

    mixed = Mixed.remote()
    before = mixed.turns.remote()
    calls = [mixed.plain.remote() for _ in range(5_000)]
    assert shoal.get(before, timeout=60) < 5_000
    shoal.get(calls, timeout=60)


def test_a_full_actor_goes_on_when_calls_end() -> None:
    @shoal.remote(max_concurrency=2)
    class Pair:
        async def step(self, n: int) -> int:
            await asyncio.sleep(0)
            return n

    pair = Pair.remote()
    assert shoal.get([pair.step.remote(n) for n in range(500)], timeout=60) == list(range(500))


def test_calls_start_in_order() -> None:
    @shoal.remote
    class Log:
        def __init__(self) -> None:
            self.started: list[int] = []

        async def call(self, n: int) -> None:
            self.started.append(n)
            await asyncio.sleep(0)

        async def read(self) -> list[int]:
            return self.started

    log = Log.remote()
    calls = [log.call.remote(n) for n in range(200)]
    shoal.get(calls)
    assert shoal.get(log.read.remote()) == list(range(200))


def test_async_methods_await_refs_and_call_other_actors() -> None:
    @shoal.remote
    class Caller:
        async def sum(self, n: int) -> int:
            return sum(await asyncio.gather(*[add.remote(i) for i in range(n)]))

        async def through(self, other: Any) -> int:
            return await other.sum.remote(3)

    caller = Caller.remote()
    assert shoal.get(caller.sum.remote(10)) == 55
    assert shoal.get(Caller.remote().through.remote(caller)) == 6


def test_errors_of_async_methods_arrive_with_their_traceback() -> None:
    @shoal.remote
    class Failing:
        async def fail(self) -> None:
            await asyncio.sleep(0)
            raise ValueError("boom")

        async def nested(self) -> None:
            await add.remote("text")  # type: ignore[arg-type]

    failing = Failing.remote()
    with pytest.raises(ValueError, match="boom") as caught:
        shoal.get(failing.fail.remote())
    assert "async_host.py" not in str(caught.value)
    with pytest.raises(TypeError):
        shoal.get(failing.nested.remote())


def test_context_and_children_belong_to_the_call_that_made_them() -> None:
    @shoal.remote
    class Context:
        async def ids(self) -> Any:
            before = shoal.get_runtime_context().get_task_id()
            await add.remote(1)
            return before, shoal.get_runtime_context().get_task_id()

    context = Context.remote()
    ids = shoal.get([context.ids.remote() for _ in range(20)])
    assert all(before == after for before, after in ids)
    assert len({before for before, _ in ids}) == 20


def test_exit_actor_ends_an_async_actor() -> None:
    @shoal.remote
    class Leaving:
        async def leave(self) -> None:
            shoal.exit_actor()

        async def stay(self) -> None:
            await asyncio.Event().wait()

    leaving = Leaving.remote()
    staying = leaving.stay.remote()
    with pytest.raises(shoal.ActorDiedError, match="exit_actor"):
        shoal.get(leaving.leave.remote(), timeout=60)
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(staying, timeout=60)


def test_an_async_actor_exits_when_its_last_handle_is_gone() -> None:
    @shoal.remote
    class Self:
        async def pid(self) -> int:
            return os.getpid()

    actor = Self.remote()
    process = os.pidfd_open(shoal.get(actor.pid.remote()))
    del actor

    async def exited() -> None:
        done = asyncio.Event()
        asyncio.get_running_loop().add_reader(process, done.set)
        await asyncio.wait_for(done.wait(), 10)

    asyncio.run(exited())
    os.close(process)


def test_calls_in_flight_end_before_an_actor_without_handles_does() -> None:
    @shoal.remote
    class Slow:
        async def answer(self) -> int:
            await asyncio.sleep(0.1)
            return await add.remote(41)

    assert shoal.get([Slow.remote().answer.remote() for _ in range(3)], timeout=60) == [42] * 3


def test_a_driver_awaits_refs() -> None:
    async def main() -> Any:
        first = await add.remote(1)
        return first, await asyncio.gather(*[add.remote(n) for n in range(100)])

    assert asyncio.run(main()) == (2, list(range(1, 101)))
    assert asyncio.run(main()) == (2, list(range(1, 101)))  # another loop


def test_an_awaited_error_is_raised() -> None:
    async def main() -> None:
        await add.remote("text")  # type: ignore[arg-type]

    with pytest.raises(TypeError):
        asyncio.run(main())


def test_a_cancelled_await_leaves_the_ref_usable() -> None:
    async def main() -> int:
        gate = Gate.remote()
        ref = gate.wait.remote()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ref, 0.02)
        gate.open.remote()
        return await ref

    assert asyncio.run(main()) == 1


def test_the_loop_runs_while_a_ref_is_awaited() -> None:
    async def main() -> int:
        gate = Gate.remote()
        waiting = asyncio.ensure_future(gate.wait.remote())
        for _ in range(100):
            await asyncio.sleep(0)
        gate.open.remote()
        return await waiting

    assert asyncio.run(main()) == 1


def test_futures_of_refs() -> None:
    futures = [add.remote(n).future() for n in range(20)]
    assert [future.result(60) for future in futures] == list(range(1, 21))
    with pytest.raises(TypeError):
        add.remote("text").future().result(60)  # type: ignore[arg-type]
    assert shoal.put(1).future().result(0) == 1


def test_a_loop_and_futures_share_the_news() -> None:
    async def main() -> Any:
        future = asyncio.wrap_future(add.remote(1).future())
        return await asyncio.gather(future, *[add.remote(n) for n in range(20)])

    assert asyncio.run(main()) == [2, *range(1, 21)]


@shoal.remote
class Blocking:
    """Blocks its own event loop, which nobody should do and everybody does once."""

    async def warm_up(self) -> int:
        return await add.remote(1)

    def result_of_a_future(self, n: int) -> int:
        return sum(add.remote(i).future().result(timeout=30) for i in range(n))

    async def results_on_another_thread(self) -> list[int]:
        async def wait() -> int:
            return sum([await add.remote(i) for i in range(10)])

        threads = ThreadPoolExecutor(1)
        other = threads.submit(asyncio.run, wait())
        return [other.result(timeout=30), await add.remote(3)]


def test_a_method_that_blocks_the_loop_gets_results_of_futures_and_of_other_loops() -> None:
    actor = Blocking.remote()
    assert shoal.get(actor.warm_up.remote()) == 2
    assert shoal.get(actor.result_of_a_future.remote(20)) == sum(range(1, 21))
    assert shoal.get(actor.results_on_another_thread.remote()) == [sum(range(1, 11)), 4]
    assert shoal.get([actor.warm_up.remote() for _ in range(100)]) == [2] * 100

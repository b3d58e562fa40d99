# SPDX-License-Identifier: Apache-2.0
"""`Queue`: order, bounds, waiting on both sides, cancellation, and the end."""

import asyncio
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import shoal
from shoal.util.queue import Empty, Full, Queue

pytestmark = pytest.mark.usefixtures("node")


@shoal.remote(num_cpus=0)
def take(q: Queue[Any]) -> Any:
    return q.get()


@shoal.remote(num_cpus=0)
def give(q: Queue[Any], item: object) -> None:
    q.put(item)


def n_waiting(q: Queue[Any], who: str) -> int:
    """How many wait in `get` or `put`."""
    waiting: dict[str, int] = shoal.get(q.actor.waiting.remote())
    return waiting[who]


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        pass


def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    q: Queue[int] = Queue()
    assert q.empty()
    for n in range(100):
        q.put(n)
    assert (q.qsize(), q.size(), len(q)) == (100, 100, 100)
    assert not q.empty()
    assert not q.full()
    assert [q.get() for _ in range(100)] == list(range(100))


def test_tasks_share_it() -> None:
    q: Queue[str] = Queue()
    waiting = [take.remote(q) for _ in range(5)]
    for letter in "abcde":
        give.remote(q, letter)
    assert sorted(shoal.get(waiting)) == list("abcde")


def test_empty_and_full_are_raised_here_and_are_those_of_the_standard_library() -> None:
    q: Queue[int] = Queue(maxsize=1)
    with pytest.raises(Empty):
        q.get_nowait()
    with pytest.raises(queue.Empty):
        q.get(timeout=0.01)
    q.put_nowait(1)
    assert q.full()
    with pytest.raises(Full):
        q.put_nowait(2)
    with pytest.raises(queue.Full):
        q.put(2, timeout=0.01)
    assert q.get() == 1
    q.put(3)
    assert q.get() == 3


def test_a_put_waits_for_room_and_the_first_goes_first() -> None:
    q: Queue[int] = Queue(maxsize=1)
    q.put(0)
    first = give.remote(q, 1)
    until(lambda: n_waiting(q, "put") == 1)
    second = give.remote(q, 2)
    until(lambda: n_waiting(q, "put") == 2)
    assert [q.get() for _ in range(3)] == [0, 1, 2]
    assert shoal.get([first, second]) == [None, None]


def test_more_may_wait_than_an_actor_takes_calls_by_default() -> None:
    q: Queue[int] = Queue()
    waiting = [q.actor.get.remote(None, (0, n)) for n in range(1500)]
    for n in range(1500):
        q.put(n)
    assert [item for (item,) in shoal.get(waiting)] == list(range(1500))


def test_batches_go_in_and_out_as_a_whole() -> None:
    q: Queue[int] = Queue(maxsize=3)
    with pytest.raises(Full):
        q.put_nowait_batch([1, 2, 3, 4])
    assert q.empty()
    q.put_nowait_batch(iter([1, 2, 3]))
    with pytest.raises(Empty):
        q.get_nowait_batch(4)
    assert q.get_nowait_batch(2) == [1, 2]
    assert q.get_nowait_batch(0) == []
    assert q.get_nowait_batch(1) == [3]


def test_a_ref_goes_in_as_its_value() -> None:
    q: Queue[Any] = Queue()
    q.put(shoal.put("value"))
    ref = shoal.put("in a list")
    q.put([ref])
    assert q.get() == "value"
    assert q.get() == [ref]


def test_coroutines_wait_too() -> None:
    q: Queue[int] = Queue(maxsize=1)

    async def main() -> list[int]:
        getter = asyncio.create_task(q.get_async())
        await q.put_async(1)
        seen = [await getter]
        await q.put_async(2)
        putter = asyncio.create_task(q.put_async(3))
        with pytest.raises(Full):
            await q.put_async(4, block=False)
        with pytest.raises(Full):
            await q.put_async(4, timeout=0.01)
        seen += [await q.get_async(), await q.get_async()]
        await putter
        with pytest.raises(Empty):
            await q.get_async(block=False)
        with pytest.raises(Empty):
            await q.get_async(timeout=0.01)
        return seen

    assert asyncio.run(main()) == [1, 2, 3]


def test_a_cancelled_get_takes_no_item() -> None:
    q: Queue[int] = Queue()

    async def main() -> None:
        for _ in range(20):
            getter = asyncio.create_task(q.get_async())
            await asyncio.to_thread(until, lambda: n_waiting(q, "get") == 1)
            getter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getter
        q.put(1)
        assert await q.get_async() == 1

    asyncio.run(main())


def test_an_item_that_a_cancelled_get_had_already_goes_back_to_the_front() -> None:
    q: Queue[int] = Queue()
    for n in range(3):
        q.put(n)
    ref = q.actor.get.remote(None, (0, 0))
    assert shoal.get(ref) == (0,)
    q._withdraw((0, 0), ref)
    assert [q.get() for _ in range(3)] == [0, 1, 2]


@contextmanager
def signalled_in_get(q: Queue[Any], number: signal.Signals) -> Iterator[None]:
    """This process gets a signal when its `get` waits."""

    def interrupt() -> None:
        until(lambda: n_waiting(q, "get") == 1)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def test_ctrl_c_ends_a_get_and_takes_no_item() -> None:
    q: Queue[int] = Queue()
    with signalled_in_get(q, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        q.get()
    q.put(1)
    assert q.get() == 1


def test_a_get_that_an_alarm_ends_takes_no_item() -> None:
    def ring(number: int, frame: object) -> None:
        raise TimeoutError("an alarm")

    q: Queue[int] = Queue()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with signalled_in_get(q, signal.SIGALRM), pytest.raises(TimeoutError, match="an alarm"):
            q.get()
    finally:
        signal.signal(signal.SIGALRM, before)
    q.put(1)
    assert q.get(timeout=20) == 1


def test_shutdown_ends_it_for_everybody() -> None:
    q: Queue[int] = Queue()
    waiting = take.remote(q)
    until(lambda: n_waiting(q, "get") == 1)
    q.shutdown()
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(waiting)
    with pytest.raises(shoal.ActorDiedError):
        q.put(1)
    q.shutdown()
    q.shutdown(force=True)


def test_options_are_those_of_the_actor() -> None:
    q: Queue[int] = Queue(actor_options={"name": "jobs", "namespace": "test"})
    assert shoal.get_actor("jobs", "test") == q.actor
    q.shutdown(force=True)


def test_bad_arguments_are_refused() -> None:
    q: Queue[Any] = Queue()
    with pytest.raises(ValueError, match="timeout"):
        q.get(timeout=-1)
    with pytest.raises(ValueError, match="timeout"):
        q.put(1, timeout=-1)
    with pytest.raises(TypeError, match="maxsize"):
        Queue(maxsize="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="list"):
        q.put_nowait_batch(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="num_items"):
        q.get_nowait_batch(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_items"):
        q.get_nowait_batch(-1)
    with pytest.raises(shoal.SerializationError):
        q.put(threading.Lock())

# SPDX-License-Identifier: Apache-2.0
"""Who stops whom: consumers that go, producers that wait, die and run again."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.streams import count, meet, note, values

import shoal

pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote
def until_closed(path: Path) -> Iterator[int]:
    n = 0
    try:
        while True:
            yield n
            n += 1
    finally:
        try:
            note(path, "closed")
        except KeyboardInterrupt:  # a cancel may come just here
            note(path, "closed")


@pytest.mark.parametrize("n_taken", [0, 1, 100])
def test_a_generator_that_nobody_wants_is_closed(tmp_path: Path, n_taken: int) -> None:
    stream = until_closed.remote(tmp_path / "log")
    for _ in range(n_taken):
        next(stream)
    done = stream.completed()
    if n_taken:
        del stream
        shoal.runtime.connected().client.flush()
    else:
        stream.close()
        assert list(stream) == []
    assert shoal.get(done, timeout=60) is None
    assert (tmp_path / "log").read_text() == "closed\n"


def test_a_stream_that_is_dropped_before_it_runs_stops_at_its_first_item(tmp_path: Path) -> None:
    stream = until_closed.options(num_cpus=2).remote(tmp_path / "log")
    stream.close()
    assert shoal.get(stream.completed(), timeout=60) is None


def test_a_generator_that_waits_for_its_consumer_is_closed_when_that_goes(tmp_path: Path) -> None:
    stream = until_closed.options(max_items_ahead=2).remote(tmp_path / "log")
    next(stream)
    stream.close()
    assert shoal.get(stream.completed(), timeout=60) is None
    assert (tmp_path / "log").read_text() == "closed\n"


@pytest.mark.parametrize("option", ["max_items_ahead", "_generator_backpressure_num_objects"])
@pytest.mark.parametrize("ahead", [1, 3])
def test_a_bounded_stream_runs_so_far_ahead_and_no_further(tmp_path: Path, option: str, ahead: int) -> None:
    log = tmp_path / "log"

    @shoal.remote
    def noted(path: Path) -> Iterator[int]:
        for i in range(20):
            note(path, f"makes {i}")
            yield i

    for i, ref in enumerate(noted.options(**{option: ahead}).remote(log)):
        note(log, f"took {i}")
        assert shoal.get(ref) == i
    lines = log.read_text().splitlines()
    for i in range(ahead + 1, 20):  # one is taken inside `next`, before we can note it
        assert lines.index(f"took {i - ahead - 1}") < lines.index(f"makes {i}")


def test_who_waits_for_its_consumer_gives_its_cpu_away() -> None:
    streams = [count.options(max_items_ahead=1).remote(10) for _ in range(6)]
    assert shoal.wait(streams, num_returns=6, timeout=60)[1] == []  # on two CPUs
    assert values(count.remote(3)) == [0, 1, 2]
    assert [values(stream) for stream in streams] == [list(range(10))] * 6


def test_a_broken_off_wait_takes_nothing(pipe: str) -> None:
    @shoal.remote
    def gated(path: str) -> Iterator[int]:
        meet(path, writing=False)
        yield 1

    stream = gated.remote(pipe)
    main = threading.main_thread().ident
    assert main is not None

    def interrupted() -> None:
        threading.Thread(target=lambda: signal.pthread_kill(main, signal.SIGINT)).start()
        next(stream)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    meet(pipe, writing=True)
    assert values(stream) == [1]


# -- cancelled, overdue, repeated


def last_error(stream: Any) -> BaseException:
    """What the last item raises; no other does, and the end says the same."""
    *refs, last = stream
    shoal.get(refs)
    with pytest.raises(shoal.ShoalError) as caught:
        shoal.get(last)
    with pytest.raises(type(caught.value)):
        shoal.get(stream.completed())
    return caught.value


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("ahead", [None, 1])
def test_a_stream_that_is_cancelled_while_it_runs(tmp_path: Path, ahead: int | None, force: bool) -> None:
    stream = until_closed.options(max_items_ahead=ahead).remote(tmp_path / "log")
    next(stream)
    shoal.cancel(stream, force=force)
    assert isinstance(last_error(stream), shoal.TaskCancelledError)
    assert force or set((tmp_path / "log").read_text().splitlines()) == {"closed"}


def test_a_stream_that_is_cancelled_while_it_waits_in_its_code(pipe: str) -> None:
    @shoal.remote
    def gated(path: str) -> Iterator[int]:
        yield 1
        meet(path, writing=False)

    stream = gated.remote(pipe)
    next(stream)
    shoal.cancel(stream)
    assert isinstance(last_error(stream), shoal.TaskCancelledError)


def test_a_stream_that_is_cancelled_in_the_queue(pipe: str, tmp_path: Path) -> None:
    @shoal.remote(num_cpus=2)
    def hold(begun: str, path: str) -> None:
        meet(begun, writing=True)
        meet(path, writing=False)

    begun = str(tmp_path / "begun")
    os.mkfifo(begun)
    held = hold.remote(begun, pipe)
    meet(begun, writing=False)  # all CPUs are taken
    stream = count.remote(3)
    shoal.cancel(stream)
    assert isinstance(last_error(stream), shoal.TaskCancelledError)
    meet(pipe, writing=True)
    shoal.get(held)


def test_a_stream_that_runs_too_long(pipe: str) -> None:
    @shoal.remote(timeout=0.2)
    def slow(path: str) -> Iterator[int]:
        yield 1
        meet(path, writing=False)

    assert isinstance(last_error(slow.remote(pipe)), shoal.TaskTimeoutError)


@pytest.mark.parametrize("ahead", [None, 2])
def test_items_are_not_repeated_when_an_error_is_retried(tmp_path: Path, ahead: int | None) -> None:
    @shoal.remote(retry_exceptions=[ValueError], max_retries=3)
    def fails_twice(path: Path) -> Iterator[int]:
        note(path, "begins")
        attempt = len(path.read_text().splitlines())
        for i in range(10):
            if attempt == 1 and i == 3:
                raise ValueError("once")
            if attempt == 2 and i == 7:
                raise ValueError("twice")
            yield i

    stream = fails_twice.options(max_items_ahead=ahead).remote(tmp_path / "log")
    assert values(stream) == list(range(10))
    assert (tmp_path / "log").read_text() == "begins\n" * 3


# -- deaths


@shoal.remote
def dies_once(path: Path, at: int, n: int) -> Iterator[int]:
    for i in range(n):
        if i == at and not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield i


@pytest.mark.parametrize("ahead", [None, 2])
@pytest.mark.parametrize("at", [0, 1, 50, 99])
def test_items_are_not_repeated_when_the_task_runs_again(tmp_path: Path, at: int, ahead: int | None) -> None:
    stream = dies_once.options(max_items_ahead=ahead).remote(tmp_path / "died", at, 100)
    assert values(stream) == list(range(100))
    assert shoal.get(stream.completed()) is None
    assert (tmp_path / "died").exists()


def test_a_death_without_retries_is_the_last_item(tmp_path: Path) -> None:
    stream = dies_once.options(max_retries=0).remote(tmp_path / "died", 3, 10)
    refs = list(stream)
    assert shoal.get(refs[:3]) == [0, 1, 2]
    assert len(refs) == 4
    for ref in (refs[3], stream.completed()):
        with pytest.raises(shoal.WorkerCrashedError):
            shoal.get(ref)


def test_a_next_attempt_that_nobody_wants_ends_at_once(tmp_path: Path, pipe: str) -> None:
    @shoal.remote
    def dies(path: Path, pipe: str) -> Iterator[int]:
        note(path, "begins")
        yield 1
        meet(pipe, writing=False)
        os.kill(os.getpid(), signal.SIGKILL)

    stream = dies.remote(tmp_path / "log", pipe)
    next(stream)
    stream.close()
    meet(pipe, writing=True)
    assert shoal.get(stream.completed(), timeout=60) is None
    assert (tmp_path / "log").read_text() == "begins\n"


def test_a_stream_of_an_ended_connection(script: Any) -> None:
    program = script("""
        import shoal

        @shoal.remote
        def slow():
            yield 1
            import threading
            threading.Event().wait()

        stream = slow.remote()
        assert shoal.get(next(stream)) == 1
        shoal.shutdown()
        try:
            next(stream)
        except shoal.NotConnectedError as error:
            print(type(error).__name__, stream, flush=True)
        shoal.init(num_cpus=1)
        del stream
        shoal.shutdown()
        """)
    out, errors = program.communicate(timeout=120)
    assert (out, errors) == ("NotConnectedError ObjectRefGenerator(closed)\n", "")

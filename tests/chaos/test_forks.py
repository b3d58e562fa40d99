# SPDX-License-Identifier: Apache-2.0
"""Processes that use Shoal are forked again and again: the child is told, or leaves alone; the parent is unaffected."""

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import psutil

import shoal

from .census import Census
from .limits import within
from .tally import Tally

ANSWER_S = 20.0
RIGHT, WRONG, BROKEN = 0, 1, 2


@shoal.remote
def square(n: int) -> int:
    return n * n


@shoal.remote
class Counter:
    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n


def is_refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except shoal.ForkedProcessError:
        return True
    return False


def leave(code: int) -> NoReturn:
    os._exit(code)


def ask(ref: "shoal.ObjectRef[int]") -> int:
    calls: list[Callable[[], object]] = [
        lambda: shoal.get(ref),
        lambda: shoal.wait([ref]),
        lambda: shoal.put(1),
        lambda: square.remote(1),
        lambda: Counter.remote(),
    ]
    return RIGHT if all(is_refused(call) for call in calls) else WRONG


def be_quiet(ref: "shoal.ObjectRef[int]") -> int:
    return RIGHT


def shut_down(ref: "shoal.ObjectRef[int]") -> int:
    shoal.shutdown()
    return WRONG if shoal.is_initialized() else RIGHT


def drop(ref: "shoal.ObjectRef[int]") -> int:
    del ref
    with suppress(Exception):
        raise ValueError(shoal)
    return RIGHT


def die(ref: "shoal.ObjectRef[int]") -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return WRONG


def live_on_own_node(ref: "shoal.ObjectRef[int]") -> int:
    shoal.init(num_cpus=1, object_store_memory=64 << 20)
    is_right = shoal.get([square.remote(n) for n in range(5)]) == [n * n for n in range(5)]
    shoal.shutdown()
    return RIGHT if is_right else WRONG


CHILDREN = (ask, be_quiet, shut_down, drop, die)


def fork(child: Callable[["shoal.ObjectRef[int]"], int], ref: "shoal.ObjectRef[int]") -> int:
    """Run `child` in a fork of this process -> its pid."""
    pid = os.fork()
    if pid == 0:
        code = BROKEN
        try:
            code = child(ref)
        finally:
            leave(code)
    return pid


def is_well(child: Callable[["shoal.ObjectRef[int]"], int], pid: int) -> bool:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code == (-signal.SIGKILL if child is die else RIGHT)


def test_forks_of_a_driver_whose_threads_are_busy(
    census: Census, dice: random.Random, tally: Tally, pick: Callable[[int, int], int]
) -> None:
    is_over = threading.Event()
    errors: list[BaseException] = []
    counter = Counter.remote()

    def be_busy(kind: int) -> None:
        try:
            while not is_over.is_set():
                if kind == 0:
                    assert shoal.get([square.remote(n) for n in range(20)], timeout=within(ANSWER_S))[-1] == 361
                elif kind == 1:
                    assert shoal.get(shoal.put(b"x" * 200_000), timeout=within(ANSWER_S)) == b"x" * 200_000
                else:
                    shoal.get(counter.add.remote(), timeout=within(ANSWER_S))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=be_busy, args=(kind,)) for kind in (0, 1, 2)]
    for thread in threads:
        thread.start()
    ref = shoal.put(1)
    try:
        for n in range(pick(60, 600)):
            child = live_on_own_node if n % 60 == 30 else dice.choice(CHILDREN)
            refs = [square.remote(i) for i in range(dice.randrange(30))]
            assert is_well(child, fork(child, ref)), child.__name__
            assert shoal.get(refs, timeout=within(ANSWER_S)) == [i * i for i in range(len(refs))]
            tally.count("forks of the driver")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert not errors
    before = shoal.get(counter.add.remote())
    assert shoal.get(counter.add.remote()) == before + 1


def test_forks_inside_tasks(census: Census, dice: random.Random, tally: Tally, pick: Callable[[int, int], int]) -> None:
    @shoal.remote(max_retries=0)
    def fork_some(box: list["shoal.ObjectRef[int]"], numbers: list[int]) -> list[bool]:
        pids = [fork(CHILDREN[number], box[0]) for number in numbers]
        assert shoal.get(square.remote(7)) == 49
        return [is_well(CHILDREN[number], pid) for number, pid in zip(numbers, pids, strict=True)]

    box = [shoal.put(1)]
    for _ in range(pick(10, 100)):
        numbers = [dice.randrange(len(CHILDREN)) for _ in range(4)]
        assert shoal.get(fork_some.remote(box, numbers), timeout=within(ANSWER_S)) == [True] * 4, numbers
        assert shoal.get(square.remote(3), timeout=within(ANSWER_S)) == 9
        tally.count("forks inside tasks", 4)
    assert not [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]

# SPDX-License-Identifier: Apache-2.0
"""How groups are formed, found, used by several kinds of processes, and let go of."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.util.collective.conftest import Rank, error_of
from tests.util.waiting import eventually

import shoal
from shoal.runtime import connected
from shoal.util import collective
from shoal.util.collective import allreduce, get_collective_group_size, get_rank, is_group_initialized

pytestmark = pytest.mark.usefixtures("node")


def live_entries() -> float:
    return connected().calls.counters()["live_entries"]


def total(value: float) -> float:
    tensor = np.array([value])
    allreduce(tensor)
    return float(tensor[0])


def test_a_process_knows_its_place(teams: Callable[..., Any]) -> None:
    places = teams(2).all(lambda: (get_rank(), get_collective_group_size(), is_group_initialized()))
    assert places == [(0, 2, True), (1, 2, True)]
    assert (get_rank(), get_collective_group_size(), is_group_initialized()) == (-1, -1, False)


def test_tasks_and_the_driver_can_be_ranks_and_tasks_give_their_cpus_up_meanwhile() -> None:
    @shoal.remote
    def be(rank: int) -> float:
        collective.init_collective_group(4, rank, "gloo", "mixed", 30_000)
        try:
            tensor = np.array([float(rank)])
            allreduce(tensor, "mixed")
            return float(tensor[0])
        finally:
            collective.destroy_collective_group("mixed")

    refs = [be.remote(rank) for rank in (1, 2, 3)]  # on two CPUs
    collective.init_collective_group(4, 0, group_name="mixed", timeout=60)
    try:
        tensor = np.array([0.0])
        allreduce(tensor, "mixed")
        assert tensor[0] == 6
        assert shoal.get(refs) == [6, 6, 6]
    finally:
        collective.destroy_collective_group("mixed")


def test_a_group_can_be_declared_from_outside() -> None:
    actors = [Rank.remote() for _ in range(3)]
    collective.create_collective_group(actors, 3, [2, 0, 1])
    with pytest.raises(shoal.CollectiveError, match="declared before"):
        collective.create_collective_group(actors, 3, [2, 0, 1])
    assert shoal.get([actor.run.remote(total, n) for n, actor in enumerate(actors)]) == [3, 3, 3]
    assert shoal.get([actor.run.remote(get_rank) for actor in actors]) == [2, 0, 1]
    collective.destroy_collective_group()
    other = Rank.remote()
    with pytest.raises(shoal.CollectiveError, match="not in group 'default'"):
        shoal.get(other.run.remote(total, 1))


def test_a_process_may_be_in_several_groups(teams: Callable[..., Any]) -> None:
    def second(rank: int) -> tuple[float, float]:
        collective.init_collective_group(2, 1 - rank, group_name="other")
        tensor = np.array([10.0 + rank])
        collective.broadcast(tensor, 0, "other")
        return total(rank), float(tensor[0])

    assert teams(2).all(second, each=[0, 1]) == [(1, 11), (1, 11)]


def test_nothing_is_left_when_all_have_left_and_the_name_is_free_again(teams: Callable[..., Any]) -> None:
    team = teams(2)
    before = live_entries()
    team.all(lambda: collective.destroy_collective_group())
    team.all(lambda: collective.destroy_collective_group())  # has no effect
    eventually(lambda: live_entries() < before)
    assert team.all(is_group_initialized) == [False, False]
    team.all(lambda rank: collective.init_collective_group(2, rank), each=[0, 1])
    assert team.all(total, each=[1, 2]) == [3, 3]


def test_a_rank_that_left_is_not_waited_for(teams: Callable[..., Any]) -> None:
    team = teams(2)
    shoal.get(team.actors[1].run.remote(lambda: collective.destroy_collective_group()))
    error = error_of(team.actors[0].run.remote(total, 1))
    assert isinstance(error, shoal.CollectiveError)
    assert "rank 1 (actor Rank" in str(error)
    assert "destroyed the group" in str(error)


def test_ranks_and_sizes_have_to_fit() -> None:
    actors = [Rank.remote() for _ in range(3)]

    def join(size: int, rank: int) -> None:
        collective.init_collective_group(size, rank, timeout=60)

    first = actors[0].run.remote(join, 2, 0)
    assert "has 2 ranks, and rank 1 that it has 3" in str(error_of(actors[1].run.remote(join, 3, 1)))
    assert "process" in str(error_of(actors[1].run.remote(join, 2, 0)))
    shoal.get([first, actors[2].run.remote(join, 2, 1)])
    assert "already" in str(error_of(actors[0].run.remote(join, 2, 0)))


def test_who_waits_for_a_rank_that_never_comes_is_told_so() -> None:
    actors = [Rank.remote() for _ in range(2)]

    def join(rank: int) -> None:
        collective.init_collective_group(3, rank, timeout=0.2)

    zeroth = error_of(actors[0].run.remote(join, 0))
    assert isinstance(zeroth, shoal.CollectiveTimeoutError)
    assert zeroth.ranks == (1, 2)
    assert "has not joined" in str(zeroth)
    first = error_of(actors[1].run.remote(join, 1))
    assert isinstance(first, shoal.CollectiveTimeoutError)
    assert "rank 0" in str(first)


def test_ctrl_c_ends_the_wait_for_a_group() -> None:
    def interrupt() -> None:
        eventually(lambda: collective.api._forming.locked())
        os.kill(os.getpid(), signal.SIGINT)

    for rank in (0, 1):
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            collective.init_collective_group(2, rank)
        thread.join()
    other = Rank.remote()
    ref = other.run.remote(lambda: collective.init_collective_group(2, 1))
    collective.init_collective_group(2, 0)
    shoal.get(ref)
    collective.destroy_collective_group()


def test_bad_arguments_are_refused_at_once() -> None:
    for backend in ("nccl", "mpi"):
        with pytest.raises(ValueError, match="backend"):
            collective.init_collective_group(2, 0, backend)
    for size, rank in ((0, 0), (2, 2), (2, -1), (1000, 0)):
        with pytest.raises(ValueError, match="must be from"):
            collective.init_collective_group(size, rank)
    with pytest.raises(TypeError, match="whole number"):
        collective.init_collective_group(2.0, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="group_name"):
        collective.init_collective_group(2, 0, group_name="")
    with pytest.raises(ValueError, match="timeout"):
        collective.init_collective_group(2, 0, timeout=0)
    with pytest.raises(TypeError, match="handles"):
        collective.create_collective_group(["a"], 1, [0])  # type: ignore[list-item]
    actor = Rank.remote()
    with pytest.raises(ValueError, match="different actors"):
        collective.create_collective_group([actor, actor], 2, [0, 1])
    with pytest.raises(ValueError, match="ranks must be"):
        collective.create_collective_group([actor], 1, [1])
    with pytest.raises(shoal.CollectiveError, match="not in group"):
        allreduce(np.zeros(1))
    collective.init_collective_group(1, 0)
    try:
        with pytest.raises(ValueError, match="this rank itself"):
            collective.send(np.zeros(1), 0)
        with pytest.raises(ValueError, match="src_rank"):
            collective.broadcast(np.zeros(1), 1)
        with pytest.raises(TypeError, match="ReduceOp"):
            allreduce(np.zeros(1), op="sum")  # type: ignore[arg-type]
    finally:
        collective.destroy_collective_group()

# SPDX-License-Identifier: Apache-2.0
"""Ranks that die, are stopped, come late, or call something else: everybody gets an error that names them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.util.collective.conftest import error_of
from tests.util.waiting import eventually, stop

import shoal
from shoal.runtime import connected
from shoal.util import collective
from shoal.util.collective import ReduceOp, allreduce, barrier, broadcast, get_rank, recv, send
from shoal.util.collective.channel import Channel

LARGE = 3_000_000


def total(size: int = 1) -> float:
    tensor = np.full(size, get_rank() + 1.0)
    allreduce(tensor)
    return float(tensor[-1])


def channel_of(group_name: str) -> Channel:
    return collective.api._groups[group_name]._channel


def die_after(n_calls: int) -> None:
    """In the middle of the pipeline of a large tensor."""
    channel = channel_of("default")
    tell, left = channel.tell, n_calls

    def counting(word: int, value: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        tell(word, value)

    channel.tell = counting
    total(LARGE)


@pytest.mark.parametrize("n_calls", [1, 2, 3, 8])
def test_a_rank_that_is_killed_in_an_operation_is_named_to_the_others(teams: Callable[..., Any], n_calls: int) -> None:
    team = teams(3)
    others = [team.actors[rank].run.remote(total, LARGE) for rank in (0, 2)]
    pid = shoal.get(team.actors[1].run.remote(os.getpid))
    assert isinstance(error_of(team.actors[1].run.remote(die_after, n_calls)), shoal.ActorDiedError)
    for ref in others:
        error = error_of(ref)
        assert isinstance(error, shoal.CollectiveRankDiedError)
        assert (error.rank, error.actor_name, error.pid, error.group_name) == (1, "Rank", pid, "default")
        assert "SIGKILL" in str(error)
    for rank in (0, 2):  # and again: the group is of no further use
        assert isinstance(error_of(team.actors[rank].run.remote(total)), shoal.CollectiveRankDiedError)


def test_a_rank_that_is_dead_already_is_named_too(teams: Callable[..., Any]) -> None:
    team = teams(2)
    shoal.kill(team.actors[1])
    error = error_of(team.actors[0].run.remote(total))
    assert isinstance(error, shoal.CollectiveRankDiedError)
    assert error.rank == 1
    for function in (lambda: send(np.zeros(1), 1), lambda: recv(np.zeros(1), 1), lambda: broadcast(np.zeros(1), 1)):
        assert isinstance(error_of(team.actors[0].run.remote(function)), shoal.CollectiveRankDiedError)


def test_the_survivors_make_another_group_of_the_same_name(teams: Callable[..., Any]) -> None:
    team = teams(3)
    shoal.kill(team.actors[1])
    survivors = [team.actors[0], team.actors[2]]

    def again(rank: int) -> float:
        collective.destroy_collective_group()
        collective.init_collective_group(2, rank)
        return total(LARGE)

    assert shoal.get([actor.run.remote(again, rank) for rank, actor in enumerate(survivors)]) == [3, 3]


def test_a_stopped_rank_ends_in_a_timeout_that_says_so(teams: Callable[..., Any]) -> None:
    team = teams(2)

    def shorten() -> None:  # now that both have joined, which may take long
        channel_of("default").timeout_s = 1.0

    team.all(shorten)
    pid = shoal.get(team.actors[1].run.remote(os.getpid))
    stop(pid)
    try:
        error = error_of(team.actors[0].run.remote(total, LARGE))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert isinstance(error, shoal.CollectiveTimeoutError)
    assert error.ranks == (1,)
    assert f"rank 1 (actor Rank, pid {pid}), which is stopped" in str(error)
    late = error_of(team.actors[1].run.remote(total, LARGE))  # nobody waits for it, and it does not wait either
    assert isinstance(late, shoal.CollectiveError)
    assert "rank 0" in str(late)
    assert "gave up: CollectiveTimeoutError" in str(late)
    assert "of no further use" in str(error_of(team.actors[0].run.remote(total)))


def test_a_driver_that_dies_is_named_as_one(node: None, script: Callable[..., Any]) -> None:
    here = connected()
    program = script(
        """
        import sys
        import shoal
        from shoal.util import collective
        shoal.init(address=sys.argv[1], namespace=sys.argv[2])
        collective.init_collective_group(2, 1, group_name="drivers")
        sys.stdin.read()
        """,
        here.config.runtime_dir,
        here.namespace,
    )
    collective.init_collective_group(2, 0, group_name="drivers")
    program.kill()
    with pytest.raises(
        shoal.CollectiveRankDiedError, match=r"rank 1 \(driver, pid .* died: a driver that is gone"
    ) as caught:
        barrier("drivers")
    assert (caught.value.rank, caught.value.actor_name, caught.value.pid) == (1, "", program.pid)
    collective.destroy_collective_group("drivers")


def test_calls_that_differ_are_told_apart_and_the_group_lives_on(teams: Callable[..., Any]) -> None:
    team = teams(3)

    def differ(rank: int, size: int) -> None:
        if rank == 1:
            broadcast(np.zeros(size), 0)
        else:
            allreduce(np.zeros(size))

    for size in (1, LARGE):
        first, second, third = team.errors(differ, size, each=range(3))
        for error, ranks in ((first, (1,)), (second, (0, 2)), (third, (1,))):
            assert isinstance(error, shoal.CollectiveMismatchError)
            assert isinstance(error, ValueError)
            assert error.ranks == ranks
        assert f"rank 0 called allreduce(float64[{size}], op=SUM), but rank 1 called broadcast" in str(first)
        assert "ranks 0, 2 called allreduce" in str(second)
        assert team.all(total) == [6, 6, 6]


def test_shapes_types_operations_and_roots_have_to_be_the_same(teams: Callable[..., Any]) -> None:
    team = teams(2)

    def shapes(rank: int) -> None:
        allreduce(np.zeros((2, 3)) if rank else np.zeros((3, 2)))

    def sizes(rank: int) -> None:
        allreduce(np.zeros(LARGE) if rank else np.zeros(1))

    def types(rank: int) -> None:
        allreduce(np.zeros(3, "int32" if rank else "float32"))

    def ops(rank: int) -> None:
        allreduce(np.zeros(3), op=ReduceOp.MIN if rank else ReduceOp.MAX)

    def roots(rank: int) -> None:
        broadcast(np.zeros(3), rank)

    for function in (shapes, sizes, types, ops, roots):
        assert all(
            isinstance(error, shoal.CollectiveMismatchError) for error in team.errors(function, each=range(2))
        ), function
        assert team.all(total, LARGE) == [3, 3]


def test_a_message_that_does_not_fit_is_refused_on_both_sides(teams: Callable[..., Any]) -> None:
    team = teams(2)

    def misfit(rank: int, size: int) -> None:
        if rank == 0:
            send(np.zeros(size, "float32"), 1)
        else:
            recv(np.zeros(2), 0)

    def fit(rank: int) -> float:
        tensor = np.full(5, 7.0 if rank == 0 else 0.0)
        (send if rank == 0 else recv)(tensor, 1 - rank)
        return float(tensor[0])

    for size in (2, LARGE):
        sender, receiver = team.errors(misfit, size, each=range(2))
        assert isinstance(sender, shoal.CollectiveMismatchError)
        assert isinstance(receiver, shoal.CollectiveMismatchError)
        assert f"rank 0 sent float32[{size}] to rank 1, which receives float64[2]" in str(sender)
        assert "rank 1 receives float64[2]" in str(receiver)
        assert team.all(fit, each=range(2)) == [7, 7]


def test_an_operation_that_cannot_be_is_refused_before_anything_is_done(teams: Callable[..., Any]) -> None:
    def refuse() -> float:
        with pytest.raises(TypeError, match="average"):
            allreduce(np.zeros(3, "int32"), op=ReduceOp.AVERAGE)
        with pytest.raises(TypeError, match="fixed size"):
            allreduce(np.array([None]))
        with pytest.raises(TypeError, match="datetime64"):
            allreduce(np.zeros(3, "datetime64[s]"))
        with pytest.raises(TypeError, match="numpy array"):
            allreduce([1, 2])
        with pytest.raises(ValueError, match="2 ranks"):
            collective.allgather([np.zeros(1)], np.zeros(1))
        with pytest.raises(ValueError, match=r"tensor 1 of the list is float64\[2\]"):
            collective.allgather([np.zeros(1), np.zeros(2)], np.zeros(1))
        return total()

    assert teams(2).all(refuse) == [3, 3]


def test_a_task_that_is_cancelled_while_it_waits_is_not_waited_for(node: None, tmp_path: Path) -> None:
    @shoal.remote
    def be(rank: int, path: str) -> None:
        collective.init_collective_group(2, rank, group_name="tasks")
        channel = channel_of("tasks")
        wait = channel.wait

        def mark_and_wait(*words: int) -> None:  # in the operation, which an interrupt breaks off from here on
            Path(path, str(rank)).touch()
            wait(*words)

        channel.wait = mark_and_wait  # type: ignore[method-assign]
        try:
            recv(np.zeros(1), 1 - rank, "tasks")  # and nobody sends
        finally:
            collective.destroy_collective_group("tasks")

    waiting, cancelled = (be.remote(rank, str(tmp_path)) for rank in range(2))
    eventually(lambda: len(list(tmp_path.iterdir())) == 2)
    shoal.cancel(cancelled)
    error = error_of(waiting)
    assert isinstance(error, shoal.CollectiveError)
    assert "rank 1 (task, pid" in str(error)
    assert "gave up: KeyboardInterrupt" in str(error)
    assert isinstance(error_of(cancelled), shoal.TaskCancelledError)


def test_a_driver_disconnects_though_the_node_of_its_group_is_gone(script: Callable[..., Any]) -> None:
    program = script(
        """
        import os
        import signal

        import shoal
        from shoal.util import collective
        from shoal.util.state import list_workers

        shoal.init(num_cpus=1, log_to_driver=False)
        collective.init_collective_group(1, 0)
        daemon = list_workers(filters=[("worker_type", "=", "DAEMON")])[0].pid
        os.kill(daemon, signal.SIGKILL)
        try:
            shoal.get(shoal.remote(lambda: None).remote())
        except shoal.NodeDiedError:
            shoal.shutdown()
            print("disconnected", shoal.is_initialized())
        """
    )
    assert program.communicate(timeout=60) == ("disconnected False\n", "")

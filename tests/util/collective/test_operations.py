# SPDX-License-Identifier: Apache-2.0
"""What each operation makes of the tensors of all ranks: kinds, sizes around blocks and pieces, orders in memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import shoal
from shoal.util.collective import (
    ReduceOp,
    allgather,
    allreduce,
    barrier,
    broadcast,
    get_rank,
    recv,
    reduce,
    reducescatter,
    send,
)
from shoal.util.collective.layout import SLOT_BYTES

# One element, a part of a piece, what is reduced directly, a block and a bit, several blocks and a bit.
SIZES = [0, 1, 7, 1000, 20_000, SLOT_BYTES // 8 + 3, 5 * SLOT_BYTES // 8 + 1]


def values(rank: int, size: int, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    return (np.arange(size) % 1000 + rank * 3 + 1).astype(dtype)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_operation_at_every_size(teams: Callable[..., Any], world_size: int) -> None:
    def all_sizes() -> None:
        me = get_rank()
        for size in SIZES:
            every = [values(rank, size) for rank in range(world_size)]
            total = np.sum(every, axis=0)

            one = every[me].copy()
            allreduce(one)
            np.testing.assert_array_equal(one, total)

            for at in range(world_size):
                one = every[me].copy()
                reduce(one, at, op=ReduceOp.MAX)
                np.testing.assert_array_equal(one, np.max(every, axis=0) if me == at else every[me])

                one = every[me].copy()
                broadcast(one, at)
                np.testing.assert_array_equal(one, every[at])

            outs = [np.empty(size) for _ in range(world_size)]
            allgather(outs, every[me])
            for out, expected in zip(outs, every, strict=True):
                np.testing.assert_array_equal(out, expected)

            mine = np.empty(size)
            reducescatter(mine, [values(me + 10 * at, size) for at in range(world_size)])
            np.testing.assert_array_equal(
                mine, np.sum([values(rank + 10 * me, size) for rank in range(world_size)], axis=0)
            )
            barrier()

    teams(world_size).all(all_sizes)


def test_reductions(teams: Callable[..., Any]) -> None:
    def reduced(op: ReduceOp, dtype: str, size: int) -> Any:
        tensor = values(get_rank(), size, dtype)
        allreduce(tensor, op=op)
        return tensor

    team = teams(3)
    for size in (5, 50_000):
        every = [values(rank, size) for rank in range(3)]
        expected = {
            ReduceOp.SUM: np.sum(every, axis=0),
            ReduceOp.PRODUCT: np.prod(every, axis=0),
            ReduceOp.MIN: np.min(every, axis=0),
            ReduceOp.MAX: np.max(every, axis=0),
            ReduceOp.AVERAGE: np.mean(every, axis=0),
        }
        for op, result in expected.items():
            for found in team.all(reduced, op, "float64", size):
                np.testing.assert_allclose(found, result, rtol=1e-15)
        for dtype in ("int16", "uint8", "float16", "complex64", ">f4"):
            for found in team.all(reduced, ReduceOp.SUM, dtype, size):
                with np.errstate(over="ignore"):
                    result = values(0, size, dtype) + values(1, size, dtype) + values(2, size, dtype)
                assert found.dtype == np.dtype(dtype)
                np.testing.assert_array_equal(found, result)


def test_all_ranks_get_the_same_bits(teams: Callable[..., Any]) -> None:
    def summed(size: int) -> bytes:
        tensor = np.random.default_rng(get_rank()).standard_normal(size, np.float32)
        allreduce(tensor)
        return tensor.tobytes()

    team = teams(3)
    for size in (100, 100_000):
        first = team.all(summed, size)
        assert first[0] == first[1] == first[2] == team.all(summed, size)[0]


def test_tensors_of_any_shape_and_order_are_taken(teams: Callable[..., Any]) -> None:
    def shapes() -> None:
        me = get_rank()
        for make in (
            lambda: np.full((3, 4, 5), me + 1.0),
            lambda: np.full((300, 400), me + 1.0, order="F"),
            lambda: np.full((600, 400), me + 1.0)[::2],
            lambda: np.full((), me + 1.0),
        ):
            tensor = make()
            allreduce(tensor)
            assert (tensor == 3).all()
            tensor = make()
            broadcast(tensor, 1)
            assert (tensor == 2).all()
            outs = [make(), make()]
            allgather(outs, make())
            assert [out.min() for out in outs] == [out.max() for out in outs] == [1, 2]
            tensor = make()
            reducescatter(tensor, [make(), make()])
            assert (tensor == 3).all()
            (send if me == 0 else recv)(tensor, 1 - me)

    teams(2).all(shapes)


def test_a_tensor_may_be_one_of_its_own_list(teams: Callable[..., Any]) -> None:
    def aliased() -> None:
        me = get_rank()
        tensors = [np.full(100_000, 10.0 * rank + me) for rank in range(3)]
        reducescatter(tensors[me], tensors)
        assert (tensors[me] == 30 * me + 3).all()

    teams(3).all(aliased)


def test_arrays_of_the_store_can_be_sent_and_not_be_written(teams: Callable[..., Any]) -> None:
    ref = shoal.put(np.arange(200_000))

    def from_the_store(refs: list[Any]) -> int:
        array = shoal.get(refs[0])
        outs = [np.empty_like(array) for _ in range(2)]
        allgather(outs, array)
        with pytest.raises(ValueError, match="read-only"):
            allreduce(array)
        return int(outs[1].sum())

    assert teams(2).all(from_the_store, [ref]) == [199_999 * 100_000] * 2


def test_messages_between_two_come_in_order_while_others_do_something_else(teams: Callable[..., Any]) -> None:
    def talk() -> list[float]:
        me = get_rank()
        got = []
        for n in range(20):
            size = [1, 50_000, 3 * SLOT_BYTES // 8 + 5][n % 3]
            if me == 0:
                send(np.full(size, float(n)), 1)
                send(np.full(size, float(-n)), 2)
            else:
                tensor = np.empty(size)
                recv(tensor, 0)
                assert tensor.min() == tensor.max()
                got.append(tensor[0])
            if n % 5 == 4:
                total = np.array([1])
                allreduce(total)
                assert total[0] == 3
        return got

    assert teams(3).all(talk) == [[], [float(n) for n in range(20)], [float(-n) for n in range(20)]]


def test_a_barrier_holds_everybody_until_the_last_one_comes(teams: Callable[..., Any], tmp_path: Any) -> None:
    def pass_it(rank: int, folder: str) -> list[str]:
        import os

        open(f"{folder}/{rank}", "w").close()
        barrier()
        return sorted(os.listdir(folder))

    assert teams(3).all(pass_it, str(tmp_path), each=range(3)) == [["0", "1", "2"]] * 3

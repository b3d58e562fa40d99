# SPDX-License-Identifier: Apache-2.0
"""The functions of `shoal.util.collective`, with Ray's names and arguments.

Tensors are numpy arrays, or torch tensors in memory; results go into the tensors that are given. Every rank of a group
makes the same calls in the same order. All of them raise TypeError and ValueError for arguments that cannot be meant;
CollectiveError if this process is not in the group, or a rank has left it; CollectiveMismatchError in every rank, with
no tensor changed, if the calls do not fit together; CollectiveRankDiedError if the process of a rank died;
CollectiveTimeoutError if a rank did not come within the group's timeout. After the last two, and after an interrupt in
the middle of an operation, the group is of no further use: destroy it in all ranks and make another one."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

from shoal import runtime
from shoal.actor import ActorHandle
from shoal.errors import CollectiveError
from shoal.protocol.groups import CloseGroup, DeclareGroup, FindGroup
from shoal.runtime import Runtime
from shoal.util.collective.channel import Standing
from shoal.util.collective.group import Group, ask, form
from shoal.util.collective.tensors import as_array, as_arrays
from shoal.util.collective.types import Backend, ReduceOp, check_backend, check_op

DEFAULT_GROUP = "default"
DEFAULT_TIMEOUT_S = 1800.0
MOST_RANKS = 256

_groups: dict[str, Group] = {}  # those that this process is in
_forming = threading.Lock()


# -- groups


def init_collective_group(
    world_size: int,
    rank: int,
    backend: str = Backend.SHM,
    group_name: str = DEFAULT_GROUP,
    gloo_timeout: int | None = None,
    *,
    timeout: float | None = None,
) -> None:
    """Be rank `rank` of a new group of `world_size` processes of this job; wait until all of them have come.

    Actors, tasks and drivers may be ranks: 0 to `world_size - 1`, at most 256 of them.

    - `backend`: "shm", the default; "gloo" is taken for it, "nccl" refused.
    - `group_name`: what operations call the group; default "default".
    - `timeout`: seconds that this rank waits for others, here and in each operation; default 1,800.
    - `gloo_timeout`: Ray's name for it, in milliseconds.

    Raises CollectiveTimeoutError if a rank does not come; CollectiveRankDiedError; CollectiveError if this process is
    in a group of this name, another process is this rank, or rank 0 gave another `world_size`; TypeError, ValueError
    for arguments that cannot be meant."""
    check_backend(backend)
    _check_name(group_name)
    _check_place(world_size, rank)
    here = runtime.current()
    standing = Standing(group_name, world_size, rank, _timeout_s(timeout, gloo_timeout))
    with _forming:
        if _find(here, group_name) is not None:
            raise _error(
                group_name,
                f"this process is in group {group_name!r} already: destroy it first with "
                f"destroy_collective_group({group_name!r})",
            )
        _form(here, standing)


def create_collective_group(
    actors: Sequence[ActorHandle[Any]],
    world_size: int,
    ranks: Sequence[int],
    backend: str = Backend.SHM,
    group_name: str = DEFAULT_GROUP,
    gloo_timeout: int | None = None,
    *,
    timeout: float | None = None,
) -> None:
    """Make `actors` the ranks of a group, from outside: each joins when it first calls an operation of the group.

    - `world_size`: how many they are.
    - `ranks`: of the actors, in their order: 0 to `world_size - 1`, each once.
    - `backend`, `group_name`, `timeout`, `gloo_timeout`: as of `init_collective_group`.

    `destroy_collective_group` here takes the declaration back, and in each actor ends its share. Raises TypeError and
    ValueError for arguments that do not fit together, CollectiveError if a group of this name is declared already."""
    check_backend(backend)
    _check_name(group_name)
    handles = list(actors)
    if any(not isinstance(actor, ActorHandle) for actor in handles):
        raise TypeError("actors must be a list of handles of actors")
    if len(handles) != world_size or len({*handles}) != world_size:
        raise ValueError(f"world_size is {world_size}, and there are {len({*handles})} different actors")
    if sorted(ranks) != list(range(world_size)):
        raise ValueError(f"ranks must be 0 to {world_size - 1}, each once, not {list(ranks)}")
    _check_place(world_size, 0)
    for actor in handles:
        actor._shoal_identity.check_connected()
    by_class = {actor._shoal_identity.class_id: rank for actor, rank in zip(handles, ranks, strict=True)}
    here = runtime.current()
    ask(here, group_name, DeclareGroup(group_name, by_class, _timeout_s(timeout, gloo_timeout)))


def destroy_collective_group(group_name: str = DEFAULT_GROUP) -> None:
    """Leave the group `group_name`: ranks that wait for this one get CollectiveError. Of no group: no effect."""
    here = runtime.current()
    group = _find(here, group_name)
    if group is not None:
        del _groups[group_name]
        group.destroy()
    if here.actor is None:
        ask(here, group_name, CloseGroup(group_name))


def is_group_initialized(group_name: str = DEFAULT_GROUP) -> bool:
    """Whether this process is in the group `group_name`."""
    return runtime.connection is not None and _find(runtime.connection, group_name) is not None


def get_rank(group_name: str = DEFAULT_GROUP) -> int:
    """This process's rank in the group `group_name`; -1 if it is not in it."""
    group = _find(runtime.connection, group_name) if runtime.connection is not None else None
    return -1 if group is None else group.rank


def get_collective_group_size(group_name: str = DEFAULT_GROUP) -> int:
    """How many ranks the group `group_name` has; -1 if this process is not in it."""
    group = _find(runtime.connection, group_name) if runtime.connection is not None else None
    return -1 if group is None else group.world_size


# -- all ranks


def allreduce(tensor: Any, group_name: str = DEFAULT_GROUP, op: ReduceOp = ReduceOp.SUM) -> None:
    """Reduce the tensors of all ranks of `group_name` by `op`; each `tensor` becomes the result, the same bits in all.

    Raises as the head of this module says."""
    check_op(op)
    group = _group(group_name)
    group.do(group.operations.allreduce, as_array(tensor, is_written=True), op)


def reduce(tensor: Any, dst_rank: int = 0, group_name: str = DEFAULT_GROUP, op: ReduceOp = ReduceOp.SUM) -> None:
    """Reduce the tensors of all ranks of `group_name` by `op`; the `tensor` of `dst_rank` becomes the result.

    The others stay. Raises as the head of this module says."""
    check_op(op)
    group = _group(group_name)
    _check_rank(group, "dst_rank", dst_rank)
    group.do(group.operations.reduce, as_array(tensor, is_written=group.rank == dst_rank), dst_rank, op)


def broadcast(tensor: Any, src_rank: int = 0, group_name: str = DEFAULT_GROUP) -> None:
    """Every rank's `tensor` becomes what that of `src_rank` is, in the group `group_name`.

    Raises as the head of this module says."""
    group = _group(group_name)
    _check_rank(group, "src_rank", src_rank)
    group.do(group.operations.broadcast, as_array(tensor, is_written=group.rank != src_rank), src_rank)


def allgather(tensor_list: Sequence[Any], tensor: Any, group_name: str = DEFAULT_GROUP) -> None:
    """The tensors of `tensor_list`, one for each rank of `group_name`, become what the ranks give as `tensor`.

    Raises as the head of this module says."""
    group = _group(group_name)
    array = as_array(tensor, is_written=False)
    group.do(group.operations.allgather, as_arrays(tensor_list, group.world_size, array, is_written=True), array)


def reducescatter(
    tensor: Any, tensor_list: Sequence[Any], group_name: str = DEFAULT_GROUP, op: ReduceOp = ReduceOp.SUM
) -> None:
    """Reduce the `tensor_list` of all ranks of `group_name` by `op`, tensor by tensor.

    The `tensor` of rank r becomes the r-th result. Raises as the head of this module says."""
    check_op(op)
    group = _group(group_name)
    array = as_array(tensor, is_written=True)
    arrays = as_arrays(tensor_list, group.world_size, array, is_written=False)
    group.do(group.operations.reducescatter, array, arrays, op)


def barrier(group_name: str = DEFAULT_GROUP) -> None:
    """Wait until every rank of `group_name` has called it. Raises as the head of this module says."""
    group = _group(group_name)
    group.do(group.operations.barrier)


# -- two ranks


def send(tensor: Any, dst_rank: int, group_name: str = DEFAULT_GROUP) -> None:
    """Send `tensor` to rank `dst_rank` of `group_name`, and wait until it has taken it with `recv`.

    Raises as the head of this module says."""
    group = _group(group_name)
    _check_other(group, "dst_rank", dst_rank)
    group.do(group.operations.send, as_array(tensor, is_written=False), dst_rank)


def recv(tensor: Any, src_rank: int, group_name: str = DEFAULT_GROUP) -> None:
    """Take the next tensor that rank `src_rank` of `group_name` sends to this one.

    `tensor`, of the same type and shape, becomes it. Raises as the head of this module says."""
    group = _group(group_name)
    _check_other(group, "src_rank", src_rank)
    group.do(group.operations.recv, as_array(tensor, is_written=True), src_rank)


# -- inside


def _find(here: Runtime, group_name: str) -> Group | None:
    """This process's group of that name; those of a connection that has ended are let go of."""
    group = _groups.get(group_name)
    if group is not None and group.runtime is not here:
        _groups.clear()
        group = None
    return group


def _group(group_name: str) -> Group:
    here = runtime.current()
    return _find(here, group_name) or _join_declared(here, group_name)


def _join_declared(here: Runtime, group_name: str) -> Group:
    """Be the rank that `create_collective_group` gave to this actor."""
    with _forming:
        group = _find(here, group_name)  # another thread may have been faster
        if group is not None:
            return group
        if here.actor is None:
            raise _unknown(group_name)
        try:
            role = ask(here, group_name, FindGroup(group_name, here.actor.class_id))
        except CollectiveError:
            raise _unknown(group_name) from None
        return _form(here, Standing(group_name, role.world_size, role.rank, role.timeout_s))


def _form(here: Runtime, standing: Standing) -> Group:
    group = form(here, standing)
    if not _groups:
        here.before_end.append(_leave_all)
    _groups[standing.name] = group
    return group


def _leave_all() -> None:
    """The connection ends: the others need not wait, and the node's memory is not to be kept."""
    while _groups:
        _groups.popitem()[1].destroy()


def _unknown(group_name: str) -> CollectiveError:
    return _error(
        group_name,
        f"this process is not in group {group_name!r}: call init_collective_group() in each rank, or "
        "create_collective_group() with the actors that are to be ranks",
    )


def _error(group_name: str, text: str) -> CollectiveError:
    error = CollectiveError(text)
    error.group_name = group_name
    return error


def _timeout_s(timeout: object, gloo_timeout: object) -> float:
    given = gloo_timeout / 1000 if timeout is None and isinstance(gloo_timeout, (int, float)) else timeout
    if given is None:
        return DEFAULT_TIMEOUT_S
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0 or math.isnan(given):
        raise ValueError(f"timeout must be a positive number of seconds, not {given!r}")
    return float(given)


def _check_name(group_name: object) -> None:
    if not isinstance(group_name, str) or not group_name:
        raise TypeError(f"group_name must be a non-empty string, not {group_name!r}")


def _check_place(world_size: object, rank: object) -> None:
    for name, value in (("world_size", world_size), ("rank", rank)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, not {value!r}")
    assert isinstance(world_size, int)
    assert isinstance(rank, int)
    if not 1 <= world_size <= MOST_RANKS:
        raise ValueError(f"world_size must be from 1 to {MOST_RANKS}, not {world_size}")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be from 0 to {world_size - 1}, not {rank}")


def _check_rank(group: Group, name: str, rank: object) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise TypeError(f"{name} must be a whole number, not {rank!r}")
    if not 0 <= rank < group.world_size:
        raise ValueError(f"{name} must be from 0 to {group.world_size - 1}, not {rank}")


def _check_other(group: Group, name: str, rank: object) -> None:
    _check_rank(group, name, rank)
    if rank == group.rank:
        raise ValueError(f"{name} is this rank itself ({rank}); send and recv are between two ranks")

# SPDX-License-Identifier: Apache-2.0
"""Collective operations on arrays, between the processes of a node, through shared memory; with Ray's API.

General layout: `api` has the functions; a `group` is formed once, over a `channel`, which is one rank's view of memory
that all ranks share (`layout` says what lies where in it); `operations` moves tensors through it; `tensors` says what
is taken for one."""

from __future__ import annotations

from shoal.util.collective.api import (
    allgather,
    allreduce,
    barrier,
    broadcast,
    create_collective_group,
    destroy_collective_group,
    get_collective_group_size,
    get_rank,
    init_collective_group,
    is_group_initialized,
    recv,
    reduce,
    reducescatter,
    send,
)
from shoal.util.collective.types import Backend, ReduceOp

__all__ = [
    "Backend",
    "ReduceOp",
    "allgather",
    "allreduce",
    "barrier",
    "broadcast",
    "create_collective_group",
    "destroy_collective_group",
    "get_collective_group_size",
    "get_rank",
    "init_collective_group",
    "is_group_initialized",
    "recv",
    "reduce",
    "reducescatter",
    "send",
]

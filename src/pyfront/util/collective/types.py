# SPDX-License-Identifier: Apache-2.0
"""What a group is told: how to reduce, and over which backend."""

from __future__ import annotations

from enum import Enum


class ReduceOp(Enum):
    """How the tensors of all ranks become one."""

    SUM = 0
    PRODUCT = 1
    MIN = 2
    MAX = 3
    AVERAGE = 4
    """The sum divided by the number of ranks; of floating and complex numbers only."""


class Backend:
    """Names of backends, as `init_collective_group` takes them."""

    SHM = "shm"
    GLOO = "gloo"
    NCCL = "nccl"


def check_backend(backend: object) -> None:
    """Take `shm`, and Ray's `gloo` for it. Raises ValueError for any other, TypeError for what is no string."""
    if not isinstance(backend, str):
        raise TypeError(f"backend must be a string, not {backend!r}")
    name = backend.lower()
    if name == Backend.NCCL:
        raise ValueError(
            "backend 'nccl' moves tensors between GPUs, which Shoal does not: leave backend out for tensors in memory, "
            "or use torch.distributed inside the actors for those on GPUs"
        )
    if name not in (Backend.SHM, Backend.GLOO):
        raise ValueError(
            f"there is no backend {backend!r}: leave it out, or give 'shm' (or 'gloo', which means it too)"
        )


def check_op(op: object) -> ReduceOp:
    """The operation. Raises TypeError."""
    if not isinstance(op, ReduceOp):
        raise TypeError(f"op must be a ReduceOp, such as ReduceOp.SUM, not {op!r}")
    return op

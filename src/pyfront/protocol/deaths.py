# SPDX-License-Identifier: Apache-2.0
"""How a process ended: what the daemon says of it, and how it is asked."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from shoal.protocol.conversation import Reply, Request


class MemoryEnd(msgspec.Struct, frozen=True):
    """That memory was the reason of a process's end."""

    cause: str  # one of the constants below
    name: str  # of the task or actor
    peak_bytes: int  # private; 0: not known
    limit_bytes: int  # 0: it had none
    node: str  # state of the node, in words
    n_ended: int = 0  # attempts of this task that PRESSURE ended, this one included

    LIMIT: ClassVar[str] = "limit"  # it held more than `memory=`
    PRESSURE: ClassVar[str] = "pressure"  # the node ran short
    KERNEL: ClassVar[str] = "kernel"  # probably the kernel's choice


class Death(Reply, frozen=True):
    """How a process ended. Unknown parts are None, zero or empty."""

    pid: int = 0
    exit_code: int | None = None
    signal: int | None = None
    stderr: list[str] = msgspec.field(default_factory=list)
    name: str = ""  # of the actor, or of the last task that printed
    log_path: str | None = None
    reason: str = ""  # what the process or the daemon said about it
    payload: bytes = b""  # the error that an actor's constructor raised, as the worker wrote it
    memory: MemoryEnd | None = None
    earlier: list[str] = msgspec.field(default_factory=list)  # how the actor's last processes before it ended
    is_setup: bool = False  # there was none: its environment could not be made, for `reason`
    is_of_group: bool = False  # it ended because its placement group was removed
    has_checkpoints: bool = False  # it was an actor whose state comes back, as it was before the call it died in


class DescribeDeath(Request[Death], frozen=True):
    """How a process ended: by client record, or by class of an actor (-1: not given). Waits until it is known."""

    index: int
    epoch: int
    class_id: int = -1

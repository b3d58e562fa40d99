# SPDX-License-Identifier: Apache-2.0
"""What the daemon orders of its zygote, and what the zygote reports.

Descriptors travel beside the bytes: [link, stdout, stderr] with `StartOrder`; [pidfd] with `Started`.
"""

from __future__ import annotations

import msgspec

from shoal.protocol.environment import Environment
from shoal.protocol.messages import Decoder


class ActorOrder(msgspec.Struct, frozen=True):
    """What a process needs to know to be an actor."""

    class_id: int
    cls_key: bytes
    class_name: str
    name: str | None
    namespace: str
    max_concurrency: int
    is_async: bool
    meta: bytes
    record: bytes = b""  # of the class; b"": too long to be sent along, to be asked for
    concurrency_groups: dict[str, int] = {}  # name -> calls that may overlap
    checkpoint_every: int = 0  # calls; 0: it has no checkpoints
    n_restarts: int = 0  # processes that this actor had before
    handle: tuple[int, int] | None = None  # of a restarted one: entry of its handle object
    environment: Environment | None = None


class StartOrder(msgspec.Struct, frozen=True, tag=True):
    """Fork one worker. Comes with three descriptors: the worker's link, stdout and stderr."""

    number: int  # identifies the order in the reports
    root: int
    cwd: bytes  # this and the next as in `Hello`
    sys_path: list[bytes]
    actor: ActorOrder | None = None
    idle_exit_s: float | None = None  # a worker that finds nothing to do for so long exits; None: it stays
    environment: Environment | None = None
    prefix: str = ""  # where the packages of its environment are installed; empty: there are none


class Preload(msgspec.Struct, frozen=True, tag=True):
    """Import these modules, so that later workers share their pages. One that fails to import is skipped."""

    modules: list[str]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The zygote has done its imports."""

    pid: int


class Started(msgspec.Struct, frozen=True, tag=True):
    """An order was executed. Comes with the new process's pidfd."""

    number: int
    pid: int


class NotStarted(msgspec.Struct, frozen=True, tag=True):
    """An order failed."""

    number: int
    text: str


class Exited(msgspec.Struct, frozen=True, tag=True):
    """A worker was reaped."""

    pid: int
    status: int  # as waitpid gives it


ZygoteOrder = StartOrder | Preload
ZygoteReport = Ready | Started | NotStarted | Exited

decode_order: Decoder[ZygoteOrder] = Decoder(ZygoteOrder)
decode_report: Decoder[ZygoteReport] = Decoder(ZygoteReport)

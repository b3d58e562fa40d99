# SPDX-License-Identifier: Apache-2.0
"""Messages for people who look at a node: what only its daemon knows. `shoal.util.state` and the command line ask them.

An *observer* says `Observe` where a driver says `Hello`. It gets no job, no client record and no descriptors, and may
ask what is in this file and for resources, counters and nodes.
"""

from __future__ import annotations

import msgspec

from shoal.protocol.conversation import Push, Reply, Request
from shoal.protocol.placement import GroupRow


class Observed(Reply, frozen=True):
    """An observer may ask now."""

    node_id: str


class Observe(Request[Observed], frozen=True):
    """An observer's first message."""

    pid: int


class JobRow(msgspec.Struct, frozen=True):
    """A job that runs."""

    root: int
    pid: int  # of its driver; 0: it is a detached actor's
    entrypoint: str
    namespace: str
    started_s: float  # Unix time


class ActorRow(msgspec.Struct, frozen=True):
    """An actor that lives, waits to live, or has ended not long ago."""

    class_id: int  # may be another actor's by now, if it has ended
    root: int
    class_name: str
    name: str | None
    namespace: str
    pid: int  # 0: there is none yet, or was never one
    max_concurrency: int
    is_async: bool
    methods: bytes  # as `ActorOrder.meta`
    resources: dict[str, float]
    is_alive: bool = True
    death: str = ""
    n_restarts: int = 0


class WorkerRow(msgspec.Struct, frozen=True):
    """A process that the node started for a job; one without a pid is about to be forked."""

    pid: int
    index: int  # of its client record
    epoch: int
    root: int
    name: str  # of the actor, or of the task that printed last
    environment: str = ""  # in a few words; empty: it has none


class NodeTables(Reply, frozen=True):
    """The daemon's names for what is numbered in the segment, and amounts that it keeps."""

    node_id: str
    hostname: str
    daemon_pid: int
    started_s: float
    runtime_dir: str
    total: dict[str, float]
    available: dict[str, float]
    counters: dict[str, float]
    store_bytes: int
    jobs: list[JobRow]
    actors: list[ActorRow]
    workers: list[WorkerRow]
    functions: dict[bytes, str]  # key -> name
    classes: dict[int, dict[str, float]]  # class id -> resources demanded by each task
    impossible: dict[int, str]  # classes whose demand the node can never meet -> why
    unprepared: dict[int, str] = msgspec.field(
        default_factory=dict
    )  # classes and actors whose environment is being made -> which one, for how long
    is_recording_lines: bool = False  # processes know which line made which object
    labels: dict[str, str] = msgspec.field(default_factory=dict)  # of the node
    groups: list[GroupRow] = msgspec.field(default_factory=list)
    group_of: dict[int, str] = msgspec.field(default_factory=dict)  # classes that book in a placement group -> its id


class Holdings(Reply, frozen=True):
    """Who holds which object that has left the process that made it: (client, object, references)."""

    rows: list[tuple[int, int, int]]


class DescribeHoldings(Request[Holdings], frozen=True):
    """At most 100,000 of them."""


class Stacks(Reply, frozen=True):
    """What the processes of the node run, by pid; those that did not answer in time are missing."""

    texts: dict[int, str]


class CollectStacks(Request[Stacks], frozen=True):
    """Ask every process of the node, or one, for the stacks of its Python threads, or for another text."""

    pid: int = 0  # 0: all
    is_of_lines: bool = False  # which line made which object, as `shoal.origins` writes it


class DumpStacks(Push, frozen=True):
    """A process is to tell its stacks, or that other text."""

    number: int
    is_of_lines: bool = False


class Noted(Reply, frozen=True):
    """Thank you."""


class StacksDumped(Request[Noted], frozen=True):
    """A process's answer to `DumpStacks`; nobody waits for the reply."""

    number: int
    text: str


class OutputLine(msgspec.Struct, frozen=True, array_like=True):
    """A line that a worker printed."""

    pid: int
    name: str
    text: str
    is_stderr: bool


class Output(Reply, frozen=True):
    """What workers have printed."""

    lines: list[OutputLine]
    next: int  # to be asked for as `after`
    n_forgotten: int  # lines between `after` and these that are not kept any more


class ReadOutput(Request[Output], frozen=True):
    """The newest lines that workers printed, or those after a number."""

    source: str = ""  # the name of a task or an actor, or a pid; empty: all
    after: int = 0
    most: int = 1000
    wait_s: float = 0.0  # how long to wait for one


class Judgement(Reply, frozen=True):
    """Why no call of a class can ever run; empty if it can."""

    text: str


class JudgeDemand(Request[Judgement], frozen=True):
    """Can the node ever meet what this class demands?"""

    class_id: int


class DescribeNode(Request[NodeTables], frozen=True):
    """Everything in `NodeTables`."""


TableRequest = Observe | DescribeNode | DescribeHoldings | CollectStacks | StacksDumped | ReadOutput | JudgeDemand
TableReply = Observed | NodeTables | Holdings | Stacks | DumpStacks | Noted | Output | Judgement

# SPDX-License-Identifier: Apache-2.0
"""What the starter of a node says about it, on the daemon's command line.

The driver writes it before it has imported anything for a connection, so it is written as Python writes values."""

from collections.abc import Mapping
from typing import NamedTuple


class NodeSettings(NamedTuple):
    """None: find out from the machine."""

    num_cpus: int | None = None
    num_gpus: int | None = None
    resources: Mapping[str, float] = {}  # custom ones
    object_store_memory: int | None = None  # bytes
    object_spilling_directory: str | None = None
    object_spilling_limit: int | None = None  # bytes; 0: never spill
    metrics_export_port: int | None = None  # of the loopback interface, 0: any; None: no endpoint
    memory: int | None = None  # bytes that tasks and actors may demand together
    tracing: bool = False
    record_lines: bool = False
    labels: Mapping[str, str] = {}


def to_argument(settings: NodeSettings) -> str:
    """The settings as one word of a command line."""
    return repr(settings._asdict())


def from_argument(word: str) -> NodeSettings:
    """The settings back. Raises ValueError."""
    from ast import literal_eval  # the driver does not need it

    return NodeSettings(**literal_eval(word))

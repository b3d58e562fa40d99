# SPDX-License-Identifier: Apache-2.0
"""`ray.util.client`: Ray's way to a distant cluster. There is none here; libraries ask whether it is in use."""

from __future__ import annotations

from typing import Any, NoReturn


class ClientObjectRef:
    """A ref of a distant cluster. No object is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("there is no Ray Client in Shoal: a driver is attached to its node; refs are ObjectRefs")


class ClientActorHandle(ClientObjectRef):
    """A handle to an actor of a distant cluster. No object is one."""


class ClientState:
    """What libraries ask as `ray.util.client.ray`."""

    def is_connected(self) -> bool:
        """Whether this process uses Ray Client: no."""
        return False

    def connect(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ConnectionError: connect with `init(address=...)`."""
        raise ConnectionError("there is no Ray Client in Shoal: connect to a node with init(address=...)")


ray = ClientState()


def num_connected_contexts() -> int:
    """How many clusters this process is connected to by Ray Client: none."""
    return 0

# SPDX-License-Identifier: Apache-2.0
"""How processes ended: kept for those who ask, with a wait for those who ask before it is known."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from shoal.protocol.messages import Death

KEPT = 4096
WAIT_S = 5.0  # the core reports a death when the kernel does, the zygote within milliseconds of it

Key = tuple[int, int]  # of a client (index, epoch), or of an actor (-1, class id)


def client_key(index: int, epoch: int) -> Key:
    """The name under which a client's death is kept."""
    return (index, epoch)


def actor_key(class_id: int) -> Key:
    """The name under which an actor's death is kept."""
    return (-1, class_id)


class Deaths:
    """The last 4096 deaths."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, Death] = OrderedDict()
        self._asked: dict[Key, list[asyncio.Future[Death]]] = {}  # each of them somebody's who waits

    def record(self, death: Death, *keys: Key) -> None:
        """Keep a death under each of these names. The first record of a name stays."""
        for key in keys:
            self._known.setdefault(key, death)
            for asked in self._asked.pop(key, ()):
                if not asked.done():
                    asked.set_result(death)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def forget(self, key: Key) -> None:
        """The name is another's from here on."""
        self._known.pop(key, None)

    async def describe(self, key: Key, wait_s: float = WAIT_S) -> Death:
        """The death under this name; an empty one if nothing is known of it in time."""
        if key in self._known:
            return self._known[key]
        asked: asyncio.Future[Death] = asyncio.get_running_loop().create_future()
        waiting = self._asked.setdefault(key, [])
        waiting.append(asked)
        try:
            await asyncio.wait([asked], timeout=wait_s)
        finally:
            waiting.remove(asked)
            if not waiting and self._asked.get(key) is waiting:
                del self._asked[key]
        return asked.result() if asked.done() else Death()

# SPDX-License-Identifier: Apache-2.0
"""Answers to actors about their checkpoints (docs/design/034)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shoal.node.actors import Actors
from shoal.node.connections import Connection
from shoal.node.refusal import Refusal
from shoal.node.worker_pool import WorkerProcess
from shoal.protocol.checkpoint import Checkpoint, CheckpointSaved, SaveCheckpoint, TakeCheckpoint
from shoal.protocol.messages import Refused, Reply


class Checkpoints:
    """The handlers of one node. `lend` counts an object for an asker, or raises Refusal."""

    def __init__(
        self,
        actors: Actors,
        process_of: Callable[[Connection], WorkerProcess | None],
        lend: Callable[[Connection, tuple[int, int], str], None],
    ) -> None:
        self._actors = actors
        self._process_of = process_of
        self._lend = lend
        self.handlers: Mapping[type, Callable[[Connection, Any], Awaitable[Reply]]] = {
            SaveCheckpoint: self._save,
            TakeCheckpoint: self._take,
        }

    async def _save(self, asker: Connection, message: SaveCheckpoint) -> Reply:
        checkpoint = Checkpoint(message.index, message.generation, message.position)
        if not self._actors.save_checkpoint(message.class_id, self._process_of(asker), checkpoint):
            raise Refusal(Refused.LOST, f"this process is not the actor of class {message.class_id} any more")
        return CheckpointSaved()

    async def _take(self, asker: Connection, message: TakeCheckpoint) -> Reply:
        checkpoint = self._actors.checkpoint_of(message.class_id)
        if checkpoint is None:
            raise Refusal(Refused.NOT_FOUND, f"the actor of class {message.class_id} has no checkpoint")
        entry = (checkpoint.index, checkpoint.generation)
        self._lend(asker, entry, f"the last checkpoint of actor {message.class_id} is gone")
        return checkpoint

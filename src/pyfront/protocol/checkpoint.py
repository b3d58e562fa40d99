# SPDX-License-Identifier: Apache-2.0
"""What an actor that has checkpoints says of them, and what its next process asks (docs/design/034)."""

from __future__ import annotations

from shoal.protocol.conversation import Reply, Request


class Checkpoint(Reply, frozen=True):
    """The object that holds the state, counted for the asker, and the position up to which it covers the calls."""

    index: int
    generation: int
    position: int


class CheckpointSaved(Reply, frozen=True):
    """The node holds it, and has let go of the one before."""


class SaveCheckpoint(Request[CheckpointSaved], frozen=True):
    """The asker, an actor, has put its state into this object: it is valid once this is answered."""

    class_id: int
    index: int
    generation: int
    position: int


class TakeCheckpoint(Request[Checkpoint], frozen=True):
    """The last checkpoint of this actor; refused with NOT_FOUND if it has none."""

    class_id: int


CheckpointRequest = SaveCheckpoint | TakeCheckpoint
CheckpointReply = Checkpoint | CheckpointSaved

# SPDX-License-Identifier: Apache-2.0
"""How an actor ends itself from inside one of its methods."""

from __future__ import annotations

from typing import NoReturn

CONSTRUCTOR_FAILED = "its constructor failed"  # why it ended, as its process and errors say it


class ActorExit(SystemExit):
    """Raised by `exit_actor`; not meant to be caught."""


def exit_actor() -> NoReturn:
    """End the actor whose method calls this. The call in progress and all later ones get ActorDiedError.

    Does not return: it raises SystemExit, which is not meant to be caught."""
    raise ActorExit(0)

# SPDX-License-Identifier: Apache-2.0
"""What a handle knows of its actor, wherever it is: methods with their options, and options of the actor that its
callers act upon. Travels with every handle, and by the daemon to who finds the actor by name.
"""

from __future__ import annotations

from typing import NamedTuple

NO_LIMIT = -1  # of max_pending_calls


class MethodShape(NamedTuple):
    """One method that can be called remotely."""

    num_returns: int = 1


class ActorShape(NamedTuple):
    """An actor as its callers see it."""

    methods: dict[str, MethodShape]
    properties: tuple[str, ...] = ()  # attributes that are no methods, for the error's text
    hidden: tuple[str, ...] = ()  # methods that every Python object has, and so a handle of its own
    max_pending_calls: int = NO_LIMIT

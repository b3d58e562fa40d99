# SPDX-License-Identifier: Apache-2.0
"""Exceptions of the compiled core, one per status; the front end translates those that users see."""

from __future__ import annotations


class CoreError(Exception):
    """Base of every error raised by the core."""


class Timeout(CoreError, TimeoutError):
    """A wait ran out of time."""


class StoreFull(CoreError, MemoryError):
    """The segment has no room for an object, a record or a client; nothing was done."""


class Fenced(CoreError):
    """This client was fenced or the node is stopping: no more work can be done through it."""


class Forked(CoreError):
    """The client belongs to the parent of this forked process."""


class Closed(CoreError):
    """The client was closed."""


class ArgumentError(CoreError):
    """An argument of the claimed task resolved to an error, kept in `.error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Invalid(CoreError, ValueError):
    """A value out of range reached the core."""

# SPDX-License-Identifier: Apache-2.0
"""What a function's options say to the worker that runs it: it travels with the function, not with each call."""

from __future__ import annotations

from typing import NamedTuple

from shoal._core.status import ArgumentError
from shoal.errors import NonDeterministicTaskError


class Traits(NamedTuple):
    """Options that only the worker needs. Two functions that differ in them are two records of the node."""

    retried: tuple[type[BaseException], ...] = ()  # errors after which there is another attempt
    # Calls that one process runs, before it makes room for a fresh one; 0: any number; None: until one has used a GPU.
    max_calls: int | None = None

    def is_retried(self, error: BaseException) -> bool:
        """Whether a call that ends so is worth another attempt. An argument's error is none of the call's own; and what
        diverged once would do so again."""
        return isinstance(error, self.retried) and not isinstance(error, (ArgumentError, NonDeterministicTaskError))


PLAIN = Traits()
"""Of a function without such options; its record does not mention them."""

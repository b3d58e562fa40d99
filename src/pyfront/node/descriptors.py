# SPDX-License-Identifier: Apache-2.0
"""How many descriptors the daemon may still open, counted by hand: who finds out by EMFILE has lost one that was sent.

A descriptor that a message carries is dropped by the kernel when the receiver has no number left for it. So the daemon
takes what a worker or driver will cost before it starts or accepts it, and refuses whom it could not serve.
"""

from __future__ import annotations

import resource

OF_DAEMON = 24  # its own, and what it opens for a moment
OF_ORDER = 8  # both ends of a worker's socket and pipes, its pidfd and the core's copy of that
OF_WORKER = 5  # of these, what stays
MAX_SPILL_FILES = 64
SPILL_SHARE = 16  # one in so many descriptors may be a file of spilled values
OF_DRIVER = 3  # its socket, its pidfd and the core's copy of that


class Descriptors:
    """The daemon's budget. `take` before opening, `give` after closing."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
        self.n_spill_files = max(1, min(MAX_SPILL_FILES, self.limit // SPILL_SHARE))
        self._n_left = self.limit - OF_DAEMON - self.n_spill_files

    def take(self, count: int) -> bool:
        """Set aside so many. False: there are not as many, and none was taken."""
        if self._n_left < count:
            return False
        self._n_left -= count
        return True

    def give(self, count: int) -> None:
        """So many are free again."""
        self._n_left += count

    @property
    def shortage(self) -> str:
        """What to tell whoever was refused."""
        return (
            f"the node's daemon may open no more than {self.limit} files, and each worker, actor and driver needs "
            "some: end some of them, or start the node with a higher limit (ulimit -H -n)"
        )

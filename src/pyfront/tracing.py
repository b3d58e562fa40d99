# SPDX-License-Identifier: Apache-2.0
"""What this process does, written down for `timeline`: a file in the node's folder that the core writes into by a
mapping.

One file for each process of a node that traces; it has the process's last events, outlives the process, and goes with
the node's folder. Its room is claimed beforehand: a write into a full file system would kill the process. Without room
this process does not trace.
"""

from __future__ import annotations

import mmap
import os
import warnings

from shoal._core._node import ROLE_ACTOR, Client, start_trace

PREFIX = "trace-"
EVENT_BYTES = 128
N_EVENTS = 65536  # the last ones of a driver or worker are kept
N_ACTOR_EVENTS = 8192  # of an actor: there may be a thousand of them


def start_tracing(client: Client, folder: str) -> None:
    """Have the core write down what this client does."""
    n_events = N_ACTOR_EVENTS if client.role == ROLE_ACTOR else N_EVENTS
    size = mmap.PAGESIZE + n_events * EVENT_BYTES
    path = os.path.join(folder, f"{PREFIX}{client.role}-{client.index}-{client.epoch}-{os.getpid()}")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        _warn(error)
        return
    try:
        os.posix_fallocate(fd, 0, size)
        start_trace(client, mmap.mmap(fd, size))
    except OSError as error:
        os.unlink(path)
        _warn(error)
    finally:
        os.close(fd)


def _warn(error: OSError) -> None:
    warnings.warn(f"this process is not traced: {error}", RuntimeWarning, stacklevel=2)

# SPDX-License-Identifier: Apache-2.0
"""GPU isolation: a call sees the accelerators of its lease and no others.

CUDA looks at CUDA_VISIBLE_DEVICES once in the life of a process, and keeps its memory on the device until the process
ends. So a worker in which somebody has used CUDA cannot be shown other accelerators.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from shoal.config import show_gpus, visible_gpus

DEVICE_FILES = "/dev/nvidia"
DRIVER_LIBRARY = "/libcuda.so"  # mapped even where CUDA found no device, and so opened none


class Accelerators:
    """Translates a lease's bits into CUDA's names. `n_gpus`: how many the node offers."""

    def __init__(self, n_gpus: int) -> None:
        outer = visible_gpus() if n_gpus else None
        self._names = [str(number) for number in range(n_gpus)] if outer is None else outer[:n_gpus]
        self._shown: list[str] | None = None
        if self._names:
            self.show({})

    def show(self, lease: Mapping[str, int]) -> bool:
        """Let CUDA see the lease's GPUs -> whether there are any, so that the lease must be looked at again."""
        names = self.names(lease)
        if self._names and names != self._shown:
            self._shown = names
            show_gpus(names)
        return bool(names)

    def are_others(self, lease: Mapping[str, int]) -> bool:
        """Whether the lease has GPUs that this process cannot see any more: CUDA has looked, and was shown others."""
        names = self.names(lease)
        return bool(names) and names != self._shown and self.is_fixed()

    def is_fixed(self) -> bool:
        """Whether CUDA has looked in this process: what it sees, and what it holds on the device, stays as it is."""
        return bool(self._names) and (_has_open(DEVICE_FILES) or _has_mapped(DRIVER_LIBRARY))

    def names(self, lease: Mapping[str, int]) -> list[str]:
        """What CUDA calls the lease's GPUs."""
        mask = lease.get("gpu_mask", 0)
        return [name for bit, name in enumerate(self._names) if mask >> bit & 1]


def _has_open(prefix: str) -> bool:
    """Does a descriptor of this process lead to a file whose path begins so?"""
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith(prefix):
                return True
        except OSError:  # closed meanwhile, as the listing's own
            continue
    return False


def _has_mapped(part: str) -> bool:
    """Is a file mapped into this process whose path contains that?"""
    with open("/proc/self/maps") as maps:
        return any(part in line for line in maps)

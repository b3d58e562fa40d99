# SPDX-License-Identifier: Apache-2.0
"""GPU isolation: a call sees the accelerators of its lease and no others."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.config import show_gpus, visible_gpus


class Accelerators:
    """Translates a lease's bits into CUDA's names. `n_gpus`: how many the node offers."""

    def __init__(self, n_gpus: int) -> None:
        outer = visible_gpus()
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

    def names(self, lease: Mapping[str, int]) -> list[str]:
        """What CUDA calls the lease's GPUs."""
        mask = lease.get("gpu_mask", 0)
        return [name for bit, name in enumerate(self._names) if mask >> bit & 1]

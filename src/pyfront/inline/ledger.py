# SPDX-License-Identifier: Apache-2.0
"""Who holds which resources. Pure: no lock, no clock.

CPUs are what a node has many of and this process has one of, so a running task holds none of them here: it only has to
be small enough for the node. Actors hold all that they demand while they live.
"""

from __future__ import annotations

from collections.abc import Mapping

Demand = Mapping[str, float]

CPU, GPU = "CPU", "GPU"
SMALLEST = 1e-6  # amounts are multiples of 0.001


class Ledger:
    """The resources of one node, the classes that demand some, and who holds how much."""

    def __init__(self, capacity: Demand) -> None:
        self.capacity = dict(capacity)
        self._demands: dict[int, dict[str, float]] = {}
        self._held: dict[int, dict[str, float]] = {}  # by id of the holder
        self._gpus: dict[int, int] = {}  # by id of the holder: a bit for each

    def define(self, class_id: int, demand: Demand) -> None:
        """The demand of a class of tasks or of an actor."""
        self._demands[class_id] = dict(demand)

    def demand_of(self, class_id: int) -> Demand:
        """What the calls of a class demand."""
        return self._demands.get(class_id, {})

    def can_hold(self, class_id: int) -> bool:
        """Whether a task of this class could begin now."""
        return self.fits(self.demand_of(class_id))

    def hold(self, holder: object, demand: Demand, *, with_cpus: bool = False) -> bool:
        """Give the holder what it demands, if all of it is free."""
        if not self.fits(demand):
            return False
        held = {kind: amount for kind, amount in demand.items() if with_cpus or kind != CPU}
        if held:
            self._held[id(holder)] = held
            self._gpus[id(holder)] = self._free_gpus(held.get(GPU, 0))
        return True

    def gpus_of(self, holder: object) -> int:
        """The GPUs that a holder has, a bit for each."""
        return self._gpus.get(id(holder), 0)

    def release(self, holder: object) -> None:
        """Take back what it holds."""
        self._held.pop(id(holder), None)
        self._gpus.pop(id(holder), None)

    def available(self) -> dict[str, float]:
        """What nobody holds."""
        return {
            kind: round(amount - sum(held.get(kind, 0) for held in self._held.values()), 3)
            for kind, amount in self.capacity.items()
        }

    def fits(self, demand: Demand) -> bool:
        """Whether all of it is free."""
        free = self.available()
        return all(amount <= free.get(kind, 0) + SMALLEST for kind, amount in demand.items())

    def _free_gpus(self, amount: float) -> int:
        n_wanted = int(amount) if amount >= 1 else int(amount > 0)
        whole = [bits for holder, bits in self._gpus.items() if self._held[holder].get(GPU, 0) >= 1]
        mask = 0
        for bit in range(int(self.capacity.get(GPU, 0))):
            if n_wanted and not any(bits >> bit & 1 for bits in whole):
                mask |= 1 << bit
                n_wanted -= 1
        return mask

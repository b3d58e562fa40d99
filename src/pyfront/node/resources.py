# SPDX-License-Identifier: Apache-2.0
"""What the node has, and the numbers under which the core knows it. Pure, but for `detect`.

The core counts in thousandths and knows kinds by number: -1 = CPU, 0 = GPU, 1 = memory, then custom kinds in the order
in which they are first heard of. `memory` is counted in MiB.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import NamedTuple

from shoal.config import visible_gpus
from shoal.memory import MIB, Meter
from shoal.node.settings import NodeSettings

CPU, GPU, MEMORY = "CPU", "GPU", "memory"
CPU_KIND, GPU_KIND, MEMORY_KIND = -1, 0, 1
MAX_MILLI = 0xFFFF_FFFF
STORE_FRACTION = 0.3
MIN_STORE_BYTES = 64 * MIB


class Machine(NamedTuple):
    """What this process may use of the machine."""

    n_cpus: int
    n_gpus: int
    memory_bytes: int


class Shape(NamedTuple):
    """A demand as the core takes it."""

    cpu_milli: int
    gpu_milli: int
    demands: dict[int, int]


class Ledger:
    """Names, numbers and capacities of a node's resources."""

    def __init__(self, capacity: Mapping[str, float]) -> None:
        self.capacity = dict(capacity)
        self._kinds = {CPU: CPU_KIND, GPU: GPU_KIND, MEMORY: MEMORY_KIND}
        for name in self.capacity:
            self._number(name)

    def shape(self, resources: Mapping[str, float]) -> Shape:
        """The demand in numbers. A kind that the node lacks gets a number too, with nothing behind it."""
        amounts = {self._number(name): to_milli(name, amount) for name, amount in resources.items()}
        return Shape(amounts.pop(CPU_KIND, 0), amounts.pop(GPU_KIND, 0), amounts)

    def capacities(self) -> dict[int, int]:
        """Kind -> thousandths, without CPUs."""
        return {self._kinds[name]: to_milli(name, amount) for name, amount in self.capacity.items() if name != CPU}

    def named(self, amounts: Mapping[int, int]) -> dict[str, float]:
        """Kind -> thousandths, back to names and the user's units; kinds of which the node has nothing are left out.

        Never more than the node has: memory was rounded up."""
        names = {number: name for name, number in self._kinds.items()}
        return {
            names[kind]: min(from_milli(names[kind], milli), self.capacity[names[kind]])
            for kind, milli in amounts.items()
            if kind in names and self.capacity.get(names[kind])
        }

    def shortage(self, resources: Mapping[str, float]) -> str | None:
        """Why this demand can never be met here, and what to do; None if it can."""
        lacking = [name for name, amount in resources.items() if amount > self.capacity.get(name, 0)]
        if not lacking:
            return None
        wanted = describe({name: resources[name] for name in lacking})
        has = describe({name: amount for name, amount in self.capacity.items() if amount})
        return (
            f"The demand {{{wanted}}} can not be met: this node has {{{has}}} in all. Calls that need it wait. "
            f"Ask for less, or give the node more with shoal.init({', '.join(map(_advice, lacking))})."
        )

    def _number(self, name: str) -> int:
        return self._kinds.setdefault(name, len(self._kinds) - 1)


def to_milli(name: str, amount: float) -> int:
    """An amount as the core counts it, memory rounded up. What exceeds the core's range exceeds any node too."""
    return min(math.ceil(amount * 1000 / MIB) if name == MEMORY else round(amount * 1000), MAX_MILLI)


def from_milli(name: str, milli: int) -> float:
    """An amount as the user counts it."""
    return milli * MIB / 1000 if name == MEMORY else milli / 1000


def describe(resources: Mapping[str, float]) -> str:
    """Amounts in words."""
    return ", ".join(f"{name}: {_show(name, amount)}" for name, amount in resources.items())


def _show(name: str, amount: float) -> str:
    return f"{amount / MIB:,.0f} MiB" if name == MEMORY else f"{amount:g}"


def _advice(name: str) -> str:
    return {CPU: "num_cpus=...", GPU: "num_gpus=...", MEMORY: "memory=..."}.get(name, f"resources={{{name!r}: ...}}")


def node_capacity(settings: NodeSettings, machine: Machine) -> tuple[dict[str, float], int]:
    """(resources by name, bytes of the store) of a node with these settings on this machine."""
    store = settings.object_store_memory
    if store is None:
        store = max(MIN_STORE_BYTES, int(machine.memory_bytes * STORE_FRACTION))
    capacity: dict[str, float] = {
        CPU: machine.n_cpus if settings.num_cpus is None else settings.num_cpus,
        GPU: machine.n_gpus if settings.num_gpus is None else settings.num_gpus,
        MEMORY: max(0, machine.memory_bytes - store) if settings.memory is None else settings.memory,
        **settings.resources,
    }
    return {name: float(amount) for name, amount in capacity.items() if amount or name == CPU}, store


# -- the machine


def detect() -> Machine:
    """CPUs by affinity and quota, memory by RAM and control group, GPUs by CUDA_VISIBLE_DEVICES or device files."""
    n_cpus = len(os.sched_getaffinity(0))
    quota = _cpu_quota()
    if quota is not None:
        n_cpus = min(n_cpus, max(1, int(quota)))
    names = visible_gpus()
    n_gpus = _n_gpu_files() if names is None else len([name for name in names if name != "-1"])
    return Machine(n_cpus, n_gpus, Meter().limit[0])


def _n_gpu_files() -> int:
    names = [name.removeprefix("nvidia") for name in os.listdir("/dev") if name.startswith("nvidia")]
    return len([number for number in names if number.isdigit()])


def _cpu_quota() -> float | None:
    """CPUs' worth of time that the control group grants, if it limits them."""
    limit = _read("/sys/fs/cgroup/cpu.max")
    if limit is not None:
        quota, _, period = limit.partition(" ")
        return None if quota == "max" else float(quota) / float(period)
    quota_us, period_us = (_read(f"/sys/fs/cgroup/cpu/cpu.cfs_{part}_us") for part in ("quota", "period"))
    if quota_us is None or period_us is None or int(quota_us) <= 0:
        return None
    return float(quota_us) / float(period_us)


def _read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None

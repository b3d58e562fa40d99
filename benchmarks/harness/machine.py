# SPDX-License-Identifier: Apache-2.0
"""What the numbers were measured on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import psutil


def describe() -> dict[str, str]:
    """Facts about this machine and moment, for the head of the report."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "virtual": "yes" if "hypervisor" in _cpu_info().get("flags", "").split() else "no",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load at start": f"{os.getloadavg()[0]:.1f}",
    }


def sentence(machine: dict[str, str]) -> str:
    """The description as one sentence."""
    kind = "virtual machine" if machine["virtual"] == "yes" else "machine"
    return (
        f"{machine['cores']}-core {kind} ({machine['processor']}, {machine['memory']}), Linux {machine['kernel']}, "
        f"Python {machine['python']}, {machine['date']}"
    )


def _processor() -> str:
    name = _cpu_info().get("model name", platform.machine())
    return " ".join(name.replace("(R)", "").replace("(TM)", "").split())


def _cpu_info() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo."""
    block = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())}

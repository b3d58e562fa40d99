# SPDX-License-Identifier: Apache-2.0
"""What the environment says to drivers and nodes; the only place of the front end that reads `os.environ`.

| variable | meaning | default |
|---|---|---|
| `SHOAL_ADDRESS` | node to attach to, as `init(address=...)` | start one |
| `SHOAL_MODE` | `inline`: run tasks and actors in this process, as `init(mode="inline")` | `node` |
| `SHOAL_NAMESPACE` | namespace of named actors | one per driver |
| `SHOAL_LOG_TO_DRIVER` | `0`: do not print what workers print | `1` |
| `SHOAL_TRACING` | `1`: keep what `shoal timeline` shows, as `init(tracing=True)` | `0` |
| `SHOAL_RECORD_LINES` | `1`: remember which line made which object, as `init(record_lines=True)` | `0` |
| `NO_COLOR` | any value: never colour the prefix of workers' lines | unset |
| `XDG_RUNTIME_DIR` | its folder `shoal` holds the sockets of this user's nodes | `/tmp/shoal-<uid>` |
| `SHOAL_LOG_DIR` | folder for log files of nodes and their workers | no files |
| `SHOAL_LOG_LIMIT` | bytes of log files that one node keeps at most, in two files | `134217728` |
| `SHOAL_SPILL_DIR` | folder for what memory does not hold, as `init(object_spilling_directory=...)` | `/var/tmp` |
| `SHOAL_SPILL_LIMIT` | bytes there at most, 0: none, as `init(object_spilling_limit=...)` | what the disk has |
| `SHOAL_STORE_WAIT_S` | seconds that a `put`, a call or a result waits for room in a full store | `10` |
| `SHOAL_HANG_AFTER_S` | seconds without any movement after which a driver that waits is told why; `0`: never | `60` |
| `SHOAL_MEMORY_THRESHOLD` | share of memory in use beyond which a task or actor is ended; `1`: never | `0.95` |
| `SHOAL_MEMORY_RETRIES` | how often such a task is run again, besides its `max_retries`, which must not be 0 | `15` |
| `SHOAL_MEMORY_PAUSE` | seconds before it is, doubled each time up to 32 times that | `1` |
| `RAY_ADDRESS`, `RAY_NAMESPACE` | the same two for programs written for Ray (`shoal.compat.ray`) | unset |
| `SHOAL_CACHE_DIR` | folder for what runtime environments are made of | `shoal` below `XDG_CACHE_HOME` or `~/.cache` |
| `SHOAL_CACHE_LIMIT` | bytes of installed environments that are kept | `10737418240` (10 GiB) |
| `SHOAL_PACKAGE_LIMIT` | bytes of one `working_dir` or module of a runtime environment | `536870912` (512 MiB) |
| `OMP_NUM_THREADS` | threads of numerical libraries in each worker | `1` |
| `PYTHONHASHSEED` | the seed of all workers | `0` |
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

HANG_AFTER_S = 60.0


class DriverConfig(NamedTuple):
    """Defaults for `init`."""

    address: str | None
    namespace: str | None
    is_log_to_driver: bool
    is_colour_allowed: bool
    is_tracing: bool  # of the node that it starts
    is_recording_lines: bool  # likewise
    mode: str | None


def driver_config(environ: Mapping[str, str] = os.environ) -> DriverConfig:
    """Read the driver's settings. Empty variables count as unset."""
    return DriverConfig(
        address=environ.get("SHOAL_ADDRESS") or None,
        namespace=environ.get("SHOAL_NAMESPACE") or None,
        is_log_to_driver=environ.get("SHOAL_LOG_TO_DRIVER", "1") not in ("0", "false", "no"),
        is_colour_allowed=not environ.get("NO_COLOR"),
        is_tracing=environ.get("SHOAL_TRACING", "") not in ("", "0", "false", "no"),
        is_recording_lines=environ.get("SHOAL_RECORD_LINES", "") not in ("", "0", "false", "no"),
        mode=environ.get("SHOAL_MODE") or None,
    )


def hang_after_s(environ: Mapping[str, str] = os.environ) -> float:
    """`SHOAL_HANG_AFTER_S`; 0: never. Raises ValueError for what is no number of seconds."""
    return _number(environ, "SHOAL_HANG_AFTER_S", HANG_AFTER_S, 1e9)


class RayConfig(NamedTuple):
    """Defaults for `shoal.compat.ray.init`."""

    address: str | None
    namespace: str | None


def ray_config(environ: Mapping[str, str] = os.environ) -> RayConfig:
    """What the environment says to a program written for Ray. Empty variables count as unset."""
    return RayConfig(environ.get("RAY_ADDRESS") or None, environ.get("RAY_NAMESPACE") or None)


def visible_gpus(environ: Mapping[str, str] = os.environ) -> list[str] | None:
    """The accelerators that this process was started with, as CUDA names them; None if nothing restricts them."""
    text = environ.get("CUDA_VISIBLE_DEVICES")
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def show_gpus(names: list[str]) -> None:
    """Let CUDA see these accelerators only. Takes effect for libraries that have not looked yet."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)


# -- of a node

STORE_WAIT_S = 10.0
LOG_LIMIT_BYTES = 128 << 20
THREADS_VARIABLE = "OMP_NUM_THREADS"
HASH_SEED_VARIABLE = "PYTHONHASHSEED"


class MemoryConfig(NamedTuple):
    """What the node does when memory runs short."""

    threshold: float  # share of the memory in use; 1: do nothing
    retries: int
    pause_s: float


def memory_config(environ: Mapping[str, str] = os.environ) -> MemoryConfig:
    """`SHOAL_MEMORY_*`. Raises ValueError for what is not a number in range."""
    return MemoryConfig(
        threshold=_number(environ, "SHOAL_MEMORY_THRESHOLD", 0.95, 1.0),
        retries=int(_number(environ, "SHOAL_MEMORY_RETRIES", 15, 200)),
        pause_s=_number(environ, "SHOAL_MEMORY_PAUSE", 1.0, 3600.0),
    )


def _number(environ: Mapping[str, str], variable: str, default: float, most: float) -> float:
    text = environ.get(variable) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise ValueError(f"{variable}={text}: it must be a number from 0 to {most:g}")
    return number


def runtime_parent(environ: Mapping[str, str] = os.environ) -> str:
    """The folder that holds one folder per running node of this user: below `XDG_RUNTIME_DIR` if that is set."""
    given = environ.get("XDG_RUNTIME_DIR")
    return os.path.join(given, "shoal") if given else f"/tmp/shoal-{os.getuid()}"


def log_dir(environ: Mapping[str, str] = os.environ) -> str | None:
    """`SHOAL_LOG_DIR`: where nodes keep log files; by default they keep none."""
    return environ.get("SHOAL_LOG_DIR") or None


def log_limit(environ: Mapping[str, str] = os.environ) -> int:
    """`SHOAL_LOG_LIMIT` in bytes. Raises ValueError."""
    return int(_number(environ, "SHOAL_LOG_LIMIT", LOG_LIMIT_BYTES, 1e15))


def cache_dir(environ: Mapping[str, str] = os.environ) -> str:
    """`SHOAL_CACHE_DIR`: the folder for what runtime environments are made of."""
    given = environ.get("SHOAL_CACHE_DIR")
    parent = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.abspath(given) if given else os.path.join(parent, "shoal")


def cache_limit(environ: Mapping[str, str] = os.environ) -> int:
    """`SHOAL_CACHE_LIMIT` in bytes. Raises ValueError."""
    return int(_number(environ, "SHOAL_CACHE_LIMIT", 10 << 30, 1 << 60))


def package_limit(environ: Mapping[str, str] = os.environ) -> int:
    """`SHOAL_PACKAGE_LIMIT` in bytes. Raises ValueError."""
    return int(_number(environ, "SHOAL_PACKAGE_LIMIT", 512 << 20, 1 << 60))


def spill_dir(environ: Mapping[str, str] = os.environ) -> str | None:
    """`SHOAL_SPILL_DIR`; None: choose one."""
    return environ.get("SHOAL_SPILL_DIR") or None


def spill_limit(environ: Mapping[str, str] = os.environ) -> int | None:
    """`SHOAL_SPILL_LIMIT` in bytes; None: no limit. Raises ValueError."""
    variable = "SHOAL_SPILL_LIMIT"
    return int(_number(environ, variable, 0, 1 << 60)) if environ.get(variable) else None


def store_wait_s(environ: Mapping[str, str] = os.environ) -> float:
    """`SHOAL_STORE_WAIT_S`. Raises ValueError."""
    return _number(environ, "SHOAL_STORE_WAIT_S", STORE_WAIT_S, 1e9)


def own_environment() -> Mapping[str, str]:
    """This process's."""
    return os.environ


def node_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment that a node's processes begin with.

    One seed, because workers that hash strings differently would iterate over equal sets differently. One thread for
    numerical libraries unless the user says otherwise, because there is a worker per CPU already.
    """
    return {HASH_SEED_VARIABLE: "0", THREADS_VARIABLE: "1", **environ}


def is_library_threaded(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether numerical libraries will start threads as soon as they are imported."""
    return environ.get(THREADS_VARIABLE, "1") != "1"

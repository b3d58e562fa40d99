# SPDX-License-Identifier: Apache-2.0
"""What the core's primitives cost: allocate and free, create and seal, push and pop, submit, claim, commit, wake.

    python -m pytest benchmarks/test_bench_core.py

Each figure is one batch of BATCH operations made in C (core_primitives.c, linked with the core's own sources at -O3).
Divide by BATCH for one of them; `extra_info` in the output of --benchmark-json has the nanoseconds of one.
"""

import ctypes
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
CORE = HERE.parent / "src" / "core"
LIBRARY = HERE.parent / "build" / "bench" / "core_primitives.so"
BATCH = 10_000
WAKES = 200  # round trips by futex take microseconds each
STORE_BYTES = 1 << 30


class Ref(ctypes.Structure):
    _fields_ = (("index", ctypes.c_uint32), ("generation", ctypes.c_uint32))


@pytest.fixture(scope="session")
def library() -> ctypes.CDLL:
    sources = [HERE / "core_primitives.c", *CORE.glob("*/*.c")]
    LIBRARY.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-std=gnu11", "-O3", "-DSH_CHECK=0", "-fPIC", "-shared", "-pthread", f"-I{CORE}"]
    sources = [path for path in sources if path.parent.name != "bind"]
    subprocess.run(["gcc", *flags, *map(str, sources), "-o", str(LIBRARY)], check=True)
    lib = ctypes.CDLL(str(LIBRARY))
    lib.bench_open.restype = ctypes.c_void_p
    lib.bench_open.argtypes = [ctypes.c_uint64]
    for name in ("bench_close", "bench_wake_begin", "bench_wake_end"):
        getattr(lib, name).argtypes = [ctypes.c_void_p]
    for name in ("bench_allocate_free", "bench_create_seal_drop"):
        getattr(lib, name).argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
    for name in ("bench_push_pop", "bench_wake", "bench_wake_nobody"):
        getattr(lib, name).argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    for name in ("bench_submit", "bench_claim", "bench_commit", "bench_drop"):
        getattr(lib, name).argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p]
    lib.bench_wake_begin.restype = ctypes.c_bool
    return lib


@pytest.fixture
def node(library: ctypes.CDLL) -> Iterator[int]:
    node = library.bench_open(STORE_BYTES)
    assert node, "the kernel refused a segment"
    yield node
    library.bench_close(node)


def measure(benchmark: Any, batch: Callable[[], int], n: int = BATCH) -> None:
    """Times one batch again and again, and records what one operation of it took."""
    assert benchmark(batch) == n
    if benchmark.stats is not None:  # None with --benchmark-disable
        benchmark.extra_info["ns_each"] = benchmark.stats.stats.median / n * 1e9


SIZES = pytest.mark.parametrize("size", [8, 1_000, 30_000, 1_000_000], ids=lambda size: f"{size}B")


@SIZES
def test_allocate_and_free(benchmark: Any, library: ctypes.CDLL, node: int, size: int) -> None:
    measure(benchmark, lambda: library.bench_allocate_free(node, BATCH, size))


@SIZES
def test_create_seal_and_drop(benchmark: Any, library: ctypes.CDLL, node: int, size: int) -> None:
    measure(benchmark, lambda: library.bench_create_seal_drop(node, BATCH, size))


def test_push_and_pop(benchmark: Any, library: ctypes.CDLL, node: int) -> None:
    measure(benchmark, lambda: library.bench_push_pop(node, BATCH))


@pytest.mark.parametrize("step", ["submit", "claim", "commit", "drop"])
def test_task(benchmark: Any, library: ctypes.CDLL, node: int, step: str) -> None:
    """One step of a batch of tasks' lives; the others run between the timings."""
    refs, slots = (Ref * BATCH)(), (ctypes.c_uint32 * BATCH)()
    steps: list[tuple[str, Any]] = [("submit", refs), ("claim", slots), ("commit", slots), ("drop", refs)]
    at = [name for name, _ in steps].index(step)

    def run(some: list[tuple[str, Any]]) -> int:
        return min((getattr(library, f"bench_{name}")(node, BATCH, data) for name, data in some), default=BATCH)

    def before() -> None:
        assert run(steps[:at]) == BATCH

    def after() -> None:
        assert run(steps[at + 1 :]) == BATCH

    done = benchmark.pedantic(lambda: run([steps[at]]), setup=before, teardown=after, rounds=50)
    assert done == BATCH
    if benchmark.stats is not None:
        benchmark.extra_info["ns_each"] = benchmark.stats.stats.median / BATCH * 1e9


def test_wake_nobody(benchmark: Any, library: ctypes.CDLL, node: int) -> None:
    measure(benchmark, lambda: library.bench_wake_nobody(node, BATCH))


def test_wake_and_be_woken(benchmark: Any, library: ctypes.CDLL, node: int) -> None:
    assert library.bench_wake_begin(node)
    measure(benchmark, lambda: library.bench_wake(node, WAKES), WAKES)
    library.bench_wake_end(node)

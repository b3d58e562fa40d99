# SPDX-License-Identifier: Apache-2.0
"""The limit of small calls: Python caller, pickle, a bare shared ring, Python callee, and the same way back.

ring.c is compiled when the benchmark first runs, for the interpreter that runs it.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

SOURCE = Path(__file__).with_name("ring.c")
BUILD_DIR = SOURCE.parents[2] / "build" / "limits"
CAPACITY = 1 << 20
IN_FLIGHT = 1000
PROTOCOL = 5


def compiled() -> ModuleType:
    """The extension module of ring.c, compiled if it is missing or older than its source."""
    library = BUILD_DIR / f"ring{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not library.exists() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        BUILD_DIR.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        include = sysconfig.get_path("include")
        flags = ["-O2", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, f"-I{include}", str(SOURCE), "-o", str(library)], check=True)
    spec = importlib.util.spec_from_file_location("ring", library)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {library}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_value() -> bytes:
    """The call that is made: the same as in the rows of the systems."""
    return b"ok"


FUNCTIONS: tuple[Callable[..., Any], ...] = (small_value,)
STOP = len(FUNCTIONS)


class RingPair:
    """A child process that serves calls over two rings, one for requests and one for replies."""

    def __init__(self, *, parks: bool) -> None:
        ring = compiled()
        self._push, self._pop = ring.push, ring.pop
        self._requests = ring.create(CAPACITY, parks)
        self._replies = ring.create(CAPACITY, parks)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._serve()
            finally:
                os._exit(0)

    def call(self) -> Any:
        """One call, and its result."""
        self._push(self._requests, pickle.dumps((0, ()), PROTOCOL))
        return pickle.loads(self._pop(self._replies))

    def call_many(self) -> None:
        """`IN_FLIGHT` calls, all sent before the first result is taken."""
        for _ in range(IN_FLIGHT):
            self._push(self._requests, pickle.dumps((0, ()), PROTOCOL))
        for _ in range(IN_FLIGHT):
            pickle.loads(self._pop(self._replies))

    def close(self) -> None:
        """Stop the child and wait for its end."""
        self._push(self._requests, pickle.dumps((STOP, ()), PROTOCOL))
        os.waitpid(self._pid, 0)

    def _serve(self) -> None:
        while True:
            index, args = pickle.loads(self._pop(self._requests))
            if index == STOP:
                return
            self._push(self._replies, pickle.dumps(FUNCTIONS[index](*args), PROTOCOL))

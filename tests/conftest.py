# SPDX-License-Identifier: Apache-2.0
"""Fixtures for every test, and the guards that a session leaves no process behind and a module no thread."""

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from tests.leftovers import threads, threads_left
from tests.processes import descendants

# A shell that starts us in the background, or nohup, has these ignored; every program of a test would inherit that.
for number, default in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)

# The threads of numpy's BLAS spin while they wait for each other, so that beside busy neighbours a product of small
# matrices takes many times as long. It reads the variable once, as it is loaded; what tests start does not inherit it.
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("OPENBLAS_NUM_THREADS", "1")
    import numpy  # noqa: F401

# Inherited by every process that a test starts, however it is started and whoever adopts it later.
MARK = "SHOAL_TEST_SESSION"
EXIT_TIMEOUT_S = 30.0  # processes and threads end within milliseconds; generous for a loaded machine


def command_line(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"{process.pid}: gone while we looked"


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    mark = os.environ[MARK] = uuid.uuid4().hex
    yield
    _, alive = psutil.wait_procs(descendants(MARK, mark), timeout=EXIT_TIMEOUT_S)
    del os.environ[MARK]
    if alive:
        listing = "\n".join(map(command_line, alive))
        pytest.fail(f"processes left {EXIT_TIMEOUT_S:g} s after the last test:\n{listing}", pytrace=False)


@pytest.fixture(scope="module", autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    """What a module's tests and fixtures start ends with them, or it ends in the middle of somebody else's test."""
    before = threads()
    yield
    left = threads_left(before, EXIT_TIMEOUT_S)
    if left:
        pytest.fail(f"threads left {EXIT_TIMEOUT_S:g} s after the last test of the module: {left}", pytrace=False)


@pytest.fixture
def shoal_node() -> Iterator[ModuleType]:
    """A fresh node with two CPUs, shut down after the test."""
    import shoal

    shoal.init(num_cpus=2)
    yield shoal
    shoal.shutdown()


@pytest.fixture(scope="module")
def module_node() -> Iterator[ModuleType]:
    """A node with two CPUs for all tests of a module."""
    import shoal

    shoal.init(num_cpus=2)
    yield shoal
    shoal.shutdown()


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    """A named pipe: who opens one end waits for who opens the other (tests/streams.py, `meet`)."""
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    return path


@pytest.fixture
def script(tmp_path: Path) -> "Iterator[Callable[..., subprocess.Popen[str]]]":
    """Starts a Python program from source text, with its arguments."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str) -> "subprocess.Popen[str]":
        path = tmp_path / f"driver{len(started)}.py"
        path.write_text(textwrap.dedent(source))
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()

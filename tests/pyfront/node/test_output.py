# SPDX-License-Identifier: Apache-2.0
"""What workers print is seen on the driver's terminal under the right name, as long as anything can be printed."""

import os
import re
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
import shoal
shoal.init(num_cpus=1)

@shoal.remote
def talk():
    print("to stdout")
    print("to stderr", file=sys.stderr)
    sys.stdout.write("again\\n" * 3)  # at once: what trickles in is told bit by bit
    os.write(1, b"from below Python\\n")
    os.system("echo from a child")

@shoal.remote(max_retries=0)
def die():
    print("last words", file=sys.stderr)
    os._exit(7)

@shoal.remote
class Counter:
    def add(self):
        print("counting")

shoal.get(talk.remote())
try:
    shoal.get(die.remote())
except shoal.errors.WorkerCrashedError as error:
    print("caught:", error.exit_code, error.stderr[-1])
shoal.get(Counter.remote().add.remote())
"""


@pytest.fixture(scope="module")
def printed() -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=True
    )


@pytest.mark.parametrize("line", ["to stdout", "again ... repeated 3x", "from below Python", "from a child"])
def test_lines_of_a_task_carry_its_name_and_pid(printed: subprocess.CompletedProcess[str], line: str) -> None:
    assert re.search(rf"^\(talk pid=\d+\) {re.escape(line)}$", printed.stdout, re.MULTILINE)


def test_stderr_stays_stderr(printed: subprocess.CompletedProcess[str]) -> None:
    assert re.search(r"^\(talk pid=\d+\) to stderr$", printed.stderr, re.MULTILINE)
    assert "to stderr" not in printed.stdout


def test_lines_of_an_actor_carry_its_class(printed: subprocess.CompletedProcess[str]) -> None:
    assert re.search(r"^\(Counter pid=\d+\) counting$", printed.stdout, re.MULTILINE)


def test_the_last_words_of_a_dead_worker_are_in_its_error(printed: subprocess.CompletedProcess[str]) -> None:
    assert "caught: 7 last words" in printed.stdout
    assert re.search(r"^\(die pid=\d+\) last words$", printed.stderr, re.MULTILINE)

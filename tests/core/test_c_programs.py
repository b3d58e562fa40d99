# SPDX-License-Identifier: Apache-2.0
"""Runs the C tests of the core: each test_*.c beside this file is a program that exits with 0 when it passes.

SHOAL_C_VARIANT picks the build: check (default), release, asan, tsan or hooks; see the Makefile beside this file.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VARIANT = os.environ.get("SHOAL_C_VARIANT", "check")
OUT = HERE.parents[1] / "build" / "ctest" / VARIANT
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))


@pytest.fixture(scope="session")
def launcher() -> list[str]:
    """What to put before the program: gcc 12's TSan needs a predictable address space, where we may ask for one."""
    setarch = [shutil.which("setarch") or "setarch", "--addr-no-randomize"]
    if VARIANT != "tsan" or subprocess.run([*setarch, "true"], check=False, capture_output=True).returncode != 0:
        return []
    return setarch


def run(command: list[str]) -> None:
    """Runs a command; fails the test with everything that it printed if it fails."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}", pytrace=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("program", PROGRAMS)
def test_c_program_passes(program: str, launcher: list[str]) -> None:
    jobs = len(os.sched_getaffinity(0))
    run(["make", "--silent", "-C", str(HERE), "-j", str(jobs), f"VARIANT={VARIANT}", program])
    run([*launcher, str(OUT / program)])

# SPDX-License-Identifier: Apache-2.0
"""Runs the C tests of the core: each test_*.c beside this file is a program that exits with 0 when it passes.

SHOAL_C_VARIANT picks the build: check (default), release, asan, tsan or hooks; see the Makefile beside this file. With
the default, programs that stop at hooks are built with hooks and those that need the release build get it, so that a
plain run proves the crash rules too.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VARIANT = os.environ.get("SHOAL_C_VARIANT", "check")
OUT = HERE.parents[1] / "build" / "ctest"
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))


@pytest.fixture(scope="session")
def launcher() -> list[str]:
    """What to put before the program: gcc 12's TSan needs a predictable address space, where we may ask for one."""
    setarch = [shutil.which("setarch") or "setarch", "--addr-no-randomize"]
    if VARIANT != "tsan" or subprocess.run([*setarch, "true"], check=False, capture_output=True).returncode != 0:
        return []
    return setarch


def variant_of(program: str) -> str:
    text = (HERE / f"{program}.c").read_text()
    if VARIANT != "check":
        return VARIANT
    return "release" if "not a release build" in text else "hooks" if "SH_HOOKS" in text else VARIANT


def run(command: list[str], **environment: str) -> None:
    """Runs a command; fails the test with everything that it printed if it fails."""
    env = os.environ | environment
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}", pytrace=False)


def build_and_run(program: str, launcher: list[str], **environment: str) -> None:
    jobs = len(os.sched_getaffinity(0))
    variant = variant_of(program)
    run(["make", "--silent", "-C", str(HERE), "-j", str(jobs), f"VARIANT={variant}", program])
    run([*launcher, str(OUT / variant / program)], **environment)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("program", PROGRAMS)
def test_c_program_passes(program: str, launcher: list[str]) -> None:
    build_and_run(program, launcher)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", [name for name in PROGRAMS if "SHOAL_LONG" in (HERE / f"{name}.c").read_text()])
def test_c_program_passes_at_length(program: str, launcher: list[str]) -> None:
    """1,000 kills, every interrupted sweep, ten times the tasks."""
    build_and_run(program, launcher, SHOAL_LONG="1")

# SPDX-License-Identifier: Apache-2.0
"""Starts the MPI peer and reads its answer."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pendulum.workload import Outcome

ADVICE = "apt-get install openmpi-bin libopenmpi-dev && pip install mpi4py"
EXAMPLES = Path(__file__).resolve().parents[1]


class MpiFailed(Exception):
    """mpiexec or a rank failed; the text has its error output."""


def is_installed() -> bool:
    """Whether both mpiexec and mpi4py are there."""
    return shutil.which("mpiexec") is not None and importlib.util.find_spec("mpi4py") is not None


def run(cores: int, seed: int, shortest: int, longest: int) -> tuple[float, list[Outcome]]:
    """Execute the runs by MPI on `cores` processes -> (seconds between the barriers, outcomes).

    Raises:
        MpiFailed: with the error output of mpiexec.
    """
    as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []  # mpiexec refuses root, which containers often are
    launch = ["mpiexec", *as_root, "--oversubscribe", "-n", str(cores)]
    # `-m mpi4py` ends all ranks when one raises; without it the others would wait at the barrier for ever.
    program = [sys.executable, "-m", "mpi4py", "-m", "pendulum.mpi_program"]
    arguments = [str(number) for number in (cores, seed, shortest, longest)]
    done = subprocess.run([*launch, *program, *arguments], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MpiFailed(done.stderr.strip() or f"mpiexec exited with {done.returncode}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["seconds"], [Outcome(**outcome) for outcome in answer["outcomes"]]

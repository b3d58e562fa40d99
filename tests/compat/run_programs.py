# SPDX-License-Identifier: Apache-2.0
"""`make compat`: public libraries that use Ray core, unmodified, under `shoal as-ray`; Ray itself is not installed.

Usage: run_programs.py WHEEL_FOLDER [NAME...]. Each program gets an environment of its own, below `.venv/compat`, with
the wheel of Shoal and the pinned versions of the table; what it prints is compared with what the table says. Needs the
network the first time. docs/compatibility.md shows the table (tests/compat/test_programs.py)."""

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS_FOLDER = Path(__file__).with_name("programs")
ENVIRONMENTS = ROOT / ".venv" / "compat"
TIMEOUT_S = 900  # compilers run in some, on a machine that may be busy
OLDEST_PYTHON = (3, 11)  # of the pinned versions


class Program(NamedTuple):
    """One library, and the program that uses it."""

    library: str  # its name and version, as pip takes them
    file: str
    shows: str  # which part of Ray core it uses
    outcome: tuple[str, ...]  # the lines that it prints
    with_it: tuple[str, ...] = ()  # what it needs besides what it says itself
    says_it_needs_ray: bool = False  # then it is installed without what it says that it needs

    @property
    def name(self) -> str:
        """The library's name."""
        return self.library.partition("==")[0]


PROGRAMS = (
    Program(
        "pymoo==0.6.2",
        "pymoo_front.py",
        "`remote` of a function made elsewhere, `options`, `get` of a list",
        ("individuals on the front: 20", "the same as without Ray: True"),
    ),
    Program(
        "stumpy==1.14.1",
        "stumpy_profile.py",
        "`put` of arrays, tasks that read them in place, `cluster_resources`",
        ("windows: 1951", "the same as without Ray: True"),
    ),
    Program(
        "sktime==1.2.0",
        "sktime_forecast.py",
        "`init` and `shutdown` of a library, a loop of `wait`, its test whether Ray is installed",
        ("folds: 6", "the same as without Ray: True", "shut down: True"),
    ),
    Program(
        "ray-map==1.0.3",
        "ray_map_batches.py",
        "first use without `init`, `wait` as back-pressure, `available_resources`, `get` under asyncio",
        (
            "in order: [1.0, 0.5, 0.25, 0.125]",
            "results: 20 of them errors: [\"ZeroDivisionError('division by zero')\"]",
            "under asyncio: [1.0, 0.5, 0.2]",
        ),
        says_it_needs_ray=True,
    ),
    Program(
        "ray-ease==0.3.2",
        "ray_ease_registry.py",
        "actors behind proxies, `max_restarts`, `ray.actor.ActorClass`, a private name",
        (
            "squares: [0, 1, 4, 9, 16, 25]",
            "balance: 16",
            "claimed: True False",
            "registered: True 7",
        ),
        with_it=("tqdm==4.70.1",),
        says_it_needs_ray=True,
    ),
    Program(
        "rayorch==0.1.1",
        "rayorch_pipeline.py",
        "pools of actors, `put`, a loop of `wait`, an actor's death as an error of `get`, `kill`, half a CPU",
        (
            "outputs: [0.0, 0.5, 2.0, 4.5, 8.0, 12.5, 18.0, 24.5]",
            "actors that were made: 4 of them for one that died: 1",
            "once more, with the same actors: [50.0, 200.0]",
        ),
        says_it_needs_ray=True,
    ),
    Program(
        "scikit-learn==1.9.1",
        "sklearn_search.py",
        "`ray.util.joblib.register_ray`",
        ("best: {'C': 10.0, 'gamma': 0.001}", "the same as without Ray: True"),
        with_it=("joblib==1.6.0",),
    ),
    Program(
        "emcee==3.1.6",
        "emcee_walkers.py",
        "`ray.util.multiprocessing.Pool`",
        ("samples: (50, 16, 3)", "the same as without Ray: True"),
    ),
)


def main(wheels: str, *names: str) -> int:
    """Run all programs, or the named ones -> the number of those that failed."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit("these versions need CPython 3.11: `rm -r .venv; PYTHON=python3.11 make compat`")
    newest = max(Path(wheels).glob("shoal-*.whl"), key=lambda path: path.stat().st_mtime)
    failed = 0
    for program in PROGRAMS:
        if names and program.name not in names:
            continue
        began = time.monotonic()
        python = prepare(program, newest)
        installed = time.monotonic()
        problem = run(program, python)
        took = f"{installed - began:.0f} s to install, {time.monotonic() - installed:.0f} s to run"
        print(f"{program.library:24} {'FAILED' if problem else 'as expected'} ({took})", flush=True)
        if problem:
            failed += 1
            print(problem, flush=True)
    return failed


def prepare(program: Program, wheel: Path) -> Path:
    """The Python of the program's environment, made if need be, with this wheel of Shoal."""
    folder = ENVIRONMENTS / program.name
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = " ".join([sys.version, program.library, *program.with_it])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        alone = ["--no-deps"] if program.says_it_needs_ray else []
        install(python, *program.with_it)
        install(python, *alone, program.library)
        install(python, str(wheel))
        stamp.write_text(wanted)
    install(python, "--force-reinstall", "--no-deps", str(wheel))
    return python


def install(python: Path, *what: str) -> None:
    """`pip install`, quietly. Raises CalledProcessError."""
    if what:
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def run(program: Program, python: Path) -> str:
    """Run it -> what went wrong; "" if it printed what it should."""
    done = subprocess.run(
        [python.with_name("shoal"), "as-ray", PROGRAMS_FOLDER / program.file],
        cwd=python.parents[1],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode == 0 and done.stdout.splitlines() == list(program.outcome):
        return ""
    return f"exit code {done.returncode}; it printed\n{done.stdout}\nand on stderr\n{done.stderr}"


if __name__ == "__main__":
    sys.exit(min(1, main(*sys.argv[1:])))

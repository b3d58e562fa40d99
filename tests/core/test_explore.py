# SPDX-License-Identifier: Apache-2.0
"""Runs the explorer of the lock-free core, see explore/explore.h: a short part of every scenario; slow: all of it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "build" / "explore"
SOURCES = sorted(path for path in (HERE / "explore").glob("*.c") if "xp_scenario " in path.read_text())
NOUNS = [path.stem for path in SOURCES if path.stem != "scenarios"]
SHORT = ["--walks", "200", "--limit", "200"]  # of each scenario, under each model


@pytest.fixture(scope="session")
def explorer() -> Path:
    jobs = len(os.sched_getaffinity(0))
    subprocess.run(["make", "--silent", "-C", str(HERE / "explore"), "-j", str(jobs)], check=True)
    return OUT / "explore"


def scenarios_of(noun: str) -> list[str]:
    return re.findall(r'\.name = "([^"]+)"', (HERE / "explore" / f"{noun}.c").read_text())


def explore(explorer: Path, noun: str, *arguments: str) -> None:
    for name in scenarios_of(noun):
        command = [str(explorer), "--only", name, *arguments]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            pytest.fail(f"{name}: ended with {done.returncode}:\n{done.stdout}", pytrace=False)
        print(done.stdout, end="")


@pytest.mark.parametrize("noun", NOUNS)
def test_short_exploration_finds_nothing(noun: str, explorer: Path) -> None:
    explore(explorer, noun, *SHORT)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("noun", NOUNS)
def test_exploration_finds_nothing(noun: str, explorer: Path) -> None:
    explore(explorer, noun)

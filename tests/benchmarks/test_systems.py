# SPDX-License-Identifier: Apache-2.0
"""The peers that Python itself brings, and the ring, each through the child program with a budget of milliseconds."""

import json
import subprocess
import sys

import pytest
from microbenchmark.suite import ALL_ROWS

from harness.bars import BARS, PEER_KEYS, RAY_BANDWIDTH_ROWS, RAY_RATE_ROWS, judge_all
from harness.limit_rows import LIMIT_OF
from harness.results import Results
from harness.session import CHILD
from limits.ring import IN_FLIGHT, RingPair
from systems import limits
from systems.registry import SYSTEMS

NAMES = {row.name for row in ALL_ROWS}


def lines_of(system: str, *options: str) -> list[dict[str, object]]:
    command = [sys.executable, str(CHILD), system, "--budget", "0.01", "--patience", "0.05", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("system", ["futures", "pool"])
def test_every_row_of_a_peer_has_a_value(system: str) -> None:
    version, *lines = lines_of(system)
    results = [line for line in lines if "row" in line]
    assert [line["row"] for line in results] == version["rows"]
    assert not [line for line in results if line["failure"]]


@pytest.mark.parametrize("system", [system.key for system in SYSTEMS if system.key != "limit"])
def test_every_row_of_a_peer_is_a_row_of_shoal(system: str) -> None:
    (version,) = lines_of(system, "--list")
    names = version["rows"]
    assert isinstance(names, list)
    assert set(names) <= NAMES


def test_every_limit_bounds_a_row_that_exists() -> None:
    assert set(LIMIT_OF) <= NAMES
    assert set(LIMIT_OF.values()) <= {row.name for row in limits.rows("limit")}


def test_every_bar_is_about_a_row_that_exists() -> None:
    verdicts = judge_all(Results(machine={}, n_rounds=1, budget_s=1.0))
    of_many_rows = {verdict.what for verdict in verdicts if " row" in verdict.what}
    assert len(of_many_rows) == 3
    assert {verdict.what for verdict in verdicts} - of_many_rows <= NAMES
    assert {*RAY_RATE_ROWS, *RAY_BANDWIDTH_ROWS} <= NAMES
    assert len(BARS) == len(verdicts)
    assert "ray" in PEER_KEYS


@pytest.mark.parametrize("parks", [True, False], ids=["parked", "spinning"])
def test_the_ring_carries_calls_there_and_back(parks: bool) -> None:
    pair = RingPair(parks=parks)
    try:
        assert pair.call() == b"ok"
        pair.call_many()
        assert IN_FLIGHT > 1
    finally:
        pair.close()

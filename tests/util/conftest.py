# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that watch work under way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.util.gates import Gates
from tests.util.waiting import Gate

import shoal


@pytest.fixture(scope="module")
def node() -> Iterator[None]:
    """One node with two CPUs, for the tests of a module."""
    shoal.init(num_cpus=2)
    yield
    shoal.shutdown()


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    """Any number of gates."""
    return Gates(tmp_path)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Ask for it after the node: it is opened before the node goes."""
    gate = Gate(tmp_path)
    yield gate
    gate.close()

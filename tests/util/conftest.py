# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that watch work under way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.util.waiting import Gate


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Ask for it after the node: it is opened before the node goes."""
    gate = Gate(tmp_path)
    yield gate
    gate.close()

# SPDX-License-Identifier: Apache-2.0
"""`shoal timeline`."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.pyfront.cli.conftest import Done, run

import shoal
from shoal.util.state import list_nodes

Shell = Callable[..., Done]


def test_a_file_for_perfetto(tmp_path: Path) -> None:
    with shoal.init(num_cpus=1, tracing=True) as context:

        @shoal.remote
        def shown() -> int:
            return 1

        assert shoal.get(shown.remote()) == 1
        path = tmp_path / "made.json"
        done = run("timeline", str(path), "--address", context.address)
        assert done.code == 0, done.errors
        assert "https://ui.perfetto.dev" in done.output
        assert "shown" in [event["name"] for event in json.loads(path.read_text())]
        printed = run("timeline", "--json", "--address", context.address).json
        assert "shown" in [event["name"] for event in printed]


def test_a_node_that_does_not_trace(shoal_node: ModuleType, shell: Shell, tmp_path: Path) -> None:
    done = shell("timeline", "--json")
    assert done.json == []
    assert "SHOAL_TRACING=1" in done.errors
    refused = shell("timeline", str(tmp_path / "no such folder" / "file"))
    assert refused.code == 1
    assert list_nodes()


def test_the_variable_turns_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_TRACING", "1")
    with shoal.init(num_cpus=1):
        assert shoal.timeline()

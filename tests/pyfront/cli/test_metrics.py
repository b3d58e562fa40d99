# SPDX-License-Identifier: Apache-2.0
"""`shoal metrics` beside a node that runs, and without one."""

from pathlib import Path

import pytest
from tests.pyfront.cli.conftest import run
from tests.util.waiting import eventually

import shoal
from shoal.util.metrics import Counter


def test_it_prints_what_prometheus_reads_and_json() -> None:
    with shoal.init(num_cpus=1) as context:
        Counter("seen_by_cli", "Seen.").inc(3)
        # A process that is slow to answer, as this one may be, is not waited for.
        eventually(lambda: "seen_by_cli_total 3.0" in run("metrics", "--address", context.address).output.splitlines())
        text = run("metrics", "--address", context.address)
        assert text.code == 0, text.errors
        assert "# TYPE shoal_tasks gauge" in text.output
        assert "# HELP seen_by_cli_total Seen." in text.output
        families = {family["name"]: family for family in run("metrics", "--json", "--address", context.address).json}
        assert families["seen_by_cli"]["samples"] == [{"name": "seen_by_cli_total", "labels": {}, "value": 3.0}]
        assert families["shoal_objects"]["kind"] == "gauge"


def test_without_a_node_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    done = run("metrics", "--json", "--address", str(tmp_path))
    assert done.code == 1
    assert "no node" in done.errors

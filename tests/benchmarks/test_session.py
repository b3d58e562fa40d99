# SPDX-License-Identifier: Apache-2.0
"""A child that works, hangs, dies or cannot start: what the harness hears of it."""

import sys
from pathlib import Path

import pytest

from harness.session import _Child as Child
from harness.session import run_session

# Speaks the protocol of benchmarks/child.py; a row named `hang` or `die` does so.
CHILD = """
import json, os, signal, sys
asked = [sys.argv[i + 1] for i, argument in enumerate(sys.argv) if argument == "--row"]
rows = asked or {rows!r}
print(json.dumps({{"version": "1.0", "rows": rows}}), flush=True)
for row in rows:
    print(json.dumps({{"start": row}}), flush=True)
    if row == "hang":
        signal.pause()
    if row == "die":
        print("out of luck", file=sys.stderr)
        sys.stderr.flush()
        os._exit(7)
    print(json.dumps({{"row": row, "unit": "s", "value": 1.0}}), flush=True)
"""


def session(tmp_path: Path, own_rows: list[str], **options: object) -> list[dict[str, object]]:
    program = tmp_path / "child.py"
    program.write_text(CHILD.format(rows=own_rows))
    return list(run_session([sys.executable, str(program)], **options))  # type: ignore[arg-type]


def test_a_child_reports_its_version_and_its_rows(tmp_path: Path) -> None:
    started: list[str] = []
    version, *lines = session(tmp_path, ["one", "two"], on_start=started.append)
    assert version == {"version": "1.0", "rows": ["one", "two"]}
    assert [line["row"] for line in lines] == started == ["one", "two"]


def test_only_the_rows_asked_for_are_measured(tmp_path: Path) -> None:
    _, *lines = session(tmp_path, ["one", "two"], rows=["two"])
    assert [line["row"] for line in lines] == ["two"]


def test_a_row_that_hangs_fails_and_the_rows_after_it_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_line = Child.next_line
    monkeypatch.setattr(  # others may take their time, and the start of a child
        Child, "next_line", lambda child, limit_s: next_line(child, 1.0 if child.row == "hang" else limit_s)
    )
    _, *lines = session(tmp_path, ["one", "hang", "two"])
    assert [line["row"] for line in lines] == ["one", "hang", "two"]
    assert lines[1]["failure"] == "failed: no result within 1 s"


def test_a_row_that_kills_the_child_fails_with_its_last_words(tmp_path: Path) -> None:
    _, *lines = session(tmp_path, ["one", "die", "two"])
    assert [line["row"] for line in lines] == ["one", "die", "two"]
    assert lines[1]["failure"] == "failed: the process ended with status 7: out of luck"


@pytest.mark.parametrize("rows", [None, ["one"]])
def test_a_child_that_cannot_start_is_one_failure(rows: list[str] | None) -> None:
    (line,) = run_session([sys.executable, "-c", "raise ImportError('no such system')"], rows=rows)
    assert line["failure"] == "failed: the process ended with status 1: ImportError: no such system"

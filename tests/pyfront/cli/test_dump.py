# SPDX-License-Identifier: Apache-2.0
"""`shoal dump`: what is in the archive, what is not, and who may read it."""

import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.pyfront.cli.conftest import Done
from tests.util.waiting import Gate, eventually

import shoal
from shoal.util.state import list_tasks

Shell = Callable[..., Done]
SECRET = "hunter2-in-an-argument"


@shoal.remote
def keep(path: str, secret: str) -> str:
    print("a printed line", flush=True)
    with open(path, "rb", buffering=0) as pipe:
        pipe.read(1)
    return secret


def read(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert {member.name.partition("/")[0] for member in members} == {path.name.partition(".")[0]}
        texts = {}
        for member in members:
            file = archive.extractfile(member)
            assert file is not None
            texts[member.name.partition("/")[2]] = file.read().decode()
    return texts


def test_an_archive_for_a_report(
    shoal_node: ModuleType, gate: Gate, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_API_KEY", "hunter2-in-a-variable")
    ref = keep.remote(gate.path, SECRET)
    waiting = keep.remote(gate.path, ref)
    eventually(lambda: [row for row in list_tasks() if row.state == "RUNNING"])
    eventually(lambda: "a printed line" in shell("logs").output)
    path = tmp_path / "report.tar.gz"
    done = shell("dump", str(path))
    assert done.code == 0, done.errors
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files = read(path)
    assert sorted(files) == sorted(
        [f"{noun}.json" for noun in ("actors", "held_objects", "jobs", "node", "nodes", "objects", "tasks", "versions")]
        + ["workers.json", "README.txt", "audit.txt", "output.txt", "stacks.txt", "why.txt"]
    )
    assert all(name in done.output for name in files)
    assert [row["name"] for row in json.loads(files["tasks.json"])].count("keep") == 2
    assert json.loads(files["versions.json"])["packages"]["msgspec"]
    assert "SHOAL_API_KEY" in json.loads(files["node.json"])["variables_set_here"]
    assert "waits for an argument" in files["why.txt"]
    assert files["audit.txt"] == "Nothing is odd.\n"
    assert "a printed line" in files["output.txt"]
    assert "keep" in files["stacks.txt"]
    assert not [name for name, text in files.items() if "hunter2" in text]

    again = shell("dump", str(path))
    assert again.code == 1
    assert "exists" in again.errors
    short = shell("dump", str(tmp_path / "short.tar.gz"), "--no-output", "--no-stacks", "--json").json
    assert not {"output.txt", "stacks.txt"} & {one["name"] for one in short["files"]}
    gate.open(2)
    shoal_node.get(waiting)

# SPDX-License-Identifier: Apache-2.0
"""One process makes an environment, others find it made; deaths leave nothing that passes for one."""

import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.node import boot
from shoal.node.environment_maker import INSTALLED, InstallError, evict, find_uv
from shoal.node.package_folder import lock

LIMIT_S = 60.0
OUTPUT = 2
UV = """#!/bin/sh
echo "$@" >> {folder}/runs
[ -p {folder}/gate ] && read word < {folder}/gate
echo says something
exit $(cat {folder}/code 2>/dev/null || echo 0)
"""

Start = Callable[..., "Making"]


class Making:
    """A maker and the daemon's end of its socket."""

    def __init__(self, request: dict[str, Any], tools: Path) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(LIMIT_S)
        env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        arguments = [str(os.getpid())]
        with theirs:
            self.pid = boot.spawn("shoal.node.environment_maker", arguments, theirs.fileno(), OUTPUT, env)
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        self._reader = self.sock.makefile("rb")
        self._is_open = True

    def answer(self) -> dict[str, Any]:
        """Its word; {} if it died."""
        line = self._reader.readline()
        return json.loads(line) if line else {}  # type: ignore[no-any-return]

    def hang_up(self) -> None:
        if self._is_open:
            self._is_open = False
            self._reader.close()
            self.sock.close()
            os.waitpid(self.pid, 0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts makers of one environment, whose installer is a script."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").write_text(UV.format(folder=tmp_path))
    (tools / "uv").chmod(0o755)
    makings: list[Making] = []

    def begin(**changes: Any) -> Making:
        request = {
            "folder": str(tmp_path / "cache" / "environments"),
            "key": "k",
            "installer": "uv",
            "requirements": "a\n",
            "options": ["--offline"],
            "cwd": "/",
            "is_checked": False,
            "timeout_s": LIMIT_S,
            "base": ["/base/site-packages"],
            "limit_bytes": 1 << 40,
        }
        makings.append(Making(request | changes, tools))
        return makings[-1]

    yield begin
    for making in makings:
        making.hang_up()


def runs(tmp_path: Path) -> list[str]:
    path = tmp_path / "runs"
    return path.read_text().splitlines() if path.exists() else []


def test_an_environment_is_made_in_place_and_private(start: Start, tmp_path: Path) -> None:
    prefix = Path(start().answer()["prefix"])
    assert prefix == tmp_path / "cache" / "environments" / "k" / "venv"
    (run,) = runs(tmp_path)
    assert run == f"pip install --python {prefix}/bin/python -r {prefix.parent}/requirements.txt --offline"
    assert (prefix.parent / "requirements.txt").read_text() == "a\n"
    for folder in (tmp_path / "cache", prefix.parent.parent, prefix.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    where = subprocess.run(
        [prefix / "bin" / "python", "-c", "import sys; print(sys.prefix)"], stdout=subprocess.PIPE, check=True
    )
    assert where.stdout.decode().strip() == str(prefix)


def test_what_is_made_is_found_and_makers_at_the_same_time_make_one(start: Start, tmp_path: Path) -> None:
    makings = [start() for _ in range(3)]
    assert len({making.answer()["prefix"] for making in makings}) == 1
    assert start().answer()["prefix"]
    assert len(runs(tmp_path)) == 1


def test_a_failure_is_told_with_the_last_lines_and_is_no_environment(start: Start, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("7")
    assert start().answer() == {"error": "uv exited with code 7", "lines": ["says something"]}
    (tmp_path / "code").unlink()
    assert start().answer()["prefix"]
    assert len(runs(tmp_path)) == 2


def test_a_check_is_run_when_it_is_asked_for(start: Start, tmp_path: Path) -> None:
    start(is_checked=True).answer()
    assert [run.split()[1] for run in runs(tmp_path)] == ["install", "check"]


def test_an_installer_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InstallError, match="install uv where the node runs"):
        find_uv()


def test_the_death_of_a_maker_leaves_nothing_that_passes_for_an_environment(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    first = start()
    with open(tmp_path / "gate", "w"):  # its installer runs
        os.kill(first.pid, signal.SIGTERM)
        assert first.answer() == {}
    (tmp_path / "gate").unlink()
    assert start().answer()["prefix"]
    assert len(runs(tmp_path)) == 2


def test_a_folder_that_others_may_enter_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    assert "mode 0700" in start().answer()["error"]


def test_an_environment_in_use_is_locked_until_its_node_hangs_up(start: Start, tmp_path: Path) -> None:
    making = start()
    path = os.path.dirname(making.answer()["prefix"])
    with pytest.raises(BlockingIOError):
        lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    making.hang_up()
    os.close(lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))


def make_fake(folder: Path, name: str, size: int, used: int) -> Path:
    path = folder / name
    path.mkdir()
    (path / INSTALLED).write_text(json.dumps({"bytes": size}))
    os.utime(path / INSTALLED, (used, used))
    return path


def test_the_longest_unused_go_first_and_none_that_is_used(tmp_path: Path) -> None:
    for number, name in enumerate("abcd"):
        make_fake(tmp_path, name, 100, number)
    (tmp_path / "unfinished").mkdir()
    fd = lock(str(tmp_path / "a"), fcntl.LOCK_SH)
    evict(str(tmp_path), 250)
    os.close(fd)
    assert sorted(os.listdir(tmp_path)) == ["a", "d", "unfinished"]
    evict(str(tmp_path), 200)
    assert sorted(os.listdir(tmp_path)) == ["a", "d", "unfinished"]

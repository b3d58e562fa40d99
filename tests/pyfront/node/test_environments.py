# SPDX-License-Identifier: Apache-2.0
"""The daemon's side of installed environments: asked for once, told to all, tried again after a failure."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from shoal.node.environments import Environments, Prepared, sites
from shoal.node.processes import descendants
from shoal.protocol.environment import Environment, Install

LIMIT_S = 60.0
UV = """#!/bin/sh
echo run >> {folder}/runs
[ -p {folder}/gate ] && read word < {folder}/gate
exit $(cat {folder}/code 2>/dev/null || echo 0)
"""


@pytest.fixture(autouse=True)
def makers_are_reaped() -> Iterator[None]:
    """The loop that would take their status has ended before them."""
    yield
    for child in psutil.Process().children():
        with suppress(ChildProcessError):
            os.waitpid(child.pid, 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With an installer that is a script."""
    (tmp_path / "uv").write_text(UV.format(folder=tmp_path))
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def environment(requirements: str = "a\n") -> Environment:
    return Environment(install=Install("uv", requirements))


async def prepared(environments: Environments, wanted: Environment, path: list[str]) -> Prepared:
    told: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
    environments.prepare(wanted, path, told.set_result)
    return await asyncio.wait_for(told, LIMIT_S)


def play(folder: Path, act: Callable[[Environments], Awaitable[None]]) -> None:
    """Run one act; no process is left."""

    async def scenario() -> None:
        environments = Environments(str(folder / "cache"), 1 << 40)
        try:
            await act(environments)
        finally:
            environments.close()

    asyncio.run(scenario())


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def test_what_needs_no_installer_is_there(folder: Path) -> None:
    async def act(environments: Environments) -> None:
        wanted = Environment(env_vars={"A": "1"})
        assert environments.prepared(None, []) == environments.prepared(wanted, []) == Prepared()
        told: list[Prepared] = []
        environments.prepare(wanted, [], told.append)
        assert told == [Prepared()]

    play(folder, act)


def test_those_who_ask_at_once_wait_for_one_installation(folder: Path) -> None:
    async def act(environments: Environments) -> None:
        assert environments.prepared(environment(), []) is None
        results = await asyncio.gather(*(prepared(environments, environment(), []) for _ in range(3)))
        assert len(set(results)) == 1
        assert os.path.exists(os.path.join(results[0].prefix, "bin", "python"))
        assert environments.prepared(environment(), []) == results[0]
        assert runs(folder) == 1

    play(folder, act)


def test_a_failure_is_told_and_the_next_one_tries_again(folder: Path) -> None:
    async def act(environments: Environments) -> None:
        (folder / "code").write_text("7")
        assert (await prepared(environments, environment(), [])).error == "uv exited with code 7"
        assert environments.prepared(environment(), []) is None
        (folder / "code").unlink()
        assert (await prepared(environments, environment(), [])).error == ""
        assert runs(folder) == 2

    play(folder, act)


def test_other_packages_of_the_driver_are_another_environment(folder: Path) -> None:
    site = folder / "site-packages"
    site.mkdir()

    async def act(environments: Environments) -> None:
        path = [str(folder), str(site)]
        first = await prepared(environments, environment(), path)
        assert await prepared(environments, environment(), path) == first
        (site / "numpy-2.0.dist-info").mkdir()
        assert environments.prepared(environment(), path) is None
        assert (await prepared(environments, environment(), path)).prefix != first.prefix

    play(folder, act)


def test_the_death_of_the_process_that_installs_is_told(folder: Path) -> None:
    os.mkfifo(folder / "gate")

    async def act(environments: Environments) -> None:
        waiting = asyncio.ensure_future(prepared(environments, environment(), []))
        opening = asyncio.get_running_loop().run_in_executor(None, open, folder / "gate", "w")
        gate = await asyncio.wait_for(opening, LIMIT_S)  # the installer runs
        below = descendants(os.getpid())
        (maker,) = [pid for pid in below if name_of(pid) == "shoal-installer"]
        os.kill(maker, signal.SIGKILL)
        assert (await waiting).error == "the process that installs died; was it killed?"
        gate.close()

    play(folder, act)


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_folders_of_installed_packages_are_known_by_their_names() -> None:
    path = ["/home/me", "/lib/python3", "/lib/python3/site-packages", "/usr/lib/python3/dist-packages"]
    assert sites(path) == path[2:]

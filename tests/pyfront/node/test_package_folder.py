# SPDX-License-Identifier: Apache-2.0
"""The folder of copies lives as long as its node, and no longer than the next one after a node that was killed."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal.node import package_folder
from shoal.node.package_folder import PackageFolder, make_locked
from shoal.node.sessions import UnsafeFolderError


def test_a_folder_is_made_when_it_is_asked_for_and_goes(tmp_path: Path) -> None:
    folder = PackageFolder(str(tmp_path / "cache"), "s")
    assert not (tmp_path / "cache").exists()
    path = Path(folder.path())
    assert path == tmp_path / "cache" / "packages" / "s"
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)] == [0o700] * 3
    (path / "deep").mkdir()
    (path / "deep" / "file").write_text("")
    assert folder.path() == str(path)
    for _ in range(2):
        folder.remove()
        assert not path.exists()


def test_folders_of_dead_nodes_are_swept_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    living = PackageFolder(str(tmp_path / "cache"), "living")
    living.path()
    dead = tmp_path / "cache" / "packages" / "dead"
    (dead / "deep").mkdir(parents=True)
    other = PackageFolder(str(tmp_path / "cache"), "other")
    other.path()
    assert {path.name for path in dead.parent.iterdir()} == {"living", "other"}
    living.remove()
    other.remove()


def test_a_cache_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    with pytest.raises(UnsafeFolderError, match="SHOAL_CACHE_DIR"):
        PackageFolder(str(tmp_path / "cache"), "s").path()


def before_first_call(monkeypatch: pytest.MonkeyPatch, name: str, step: Callable[[], object]) -> None:
    """Have somebody else make a step just before a function of the module is first called."""
    function, steps = getattr(package_folder, name), [step]

    def called(*args: Any) -> Any:
        if steps:
            steps.pop()()
        return function(*args)

    monkeypatch.setattr(package_folder, name, called)


@pytest.mark.parametrize("name", ["check_private", "lock", "is_same_folder"])
def test_a_folder_that_is_deleted_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "folder"
    before_first_call(monkeypatch, name, lambda: shutil.rmtree(path))
    fd = make_locked(str(path), fcntl.LOCK_EX, "")
    assert os.path.samestat(os.fstat(fd), path.stat())
    os.close(fd)


def test_nodes_that_begin_at_once_do_not_sweep_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (PackageFolder(str(tmp_path / "cache"), name) for name in ("one", "other"))
    before_first_call(monkeypatch, "lock", other.path)  # which sweeps what nobody has locked yet
    assert [os.path.isdir(folder.path()) for folder in (one, other)] == [True, True]
    one.remove()
    other.remove()

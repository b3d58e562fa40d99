# SPDX-License-Identifier: Apache-2.0
"""The folder of copies lives as long as its node, and no longer than the next one after a node that was killed."""

from pathlib import Path

import pytest

from shoal.node.package_folder import PackageFolder
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

# SPDX-License-Identifier: Apache-2.0
"""Copies under the hash of their content: what is in them, what is left out, and what is refused."""

import os
import stat
import zipfile
from pathlib import Path

import pytest
from tests.wheels import make_wheel

import shoal
from shoal.runtime_env.packages import Packages

LIMIT = 1 << 20


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    (tmp_path / "packages").mkdir()
    return Packages(str(tmp_path / "packages"), LIMIT)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A directory with a few files."""
    folder = tmp_path / "code"
    (folder / "inner").mkdir(parents=True)
    (folder / "main.py").write_text("X = 1\n")
    (folder / "inner" / "part.py").write_text("Y = 2\n")
    return folder


def files_of(path: str) -> set[str]:
    return {os.path.relpath(os.path.join(at, name), path) for at, _, names in os.walk(path) for name in names}


def test_equal_content_is_one_copy_and_an_edit_is_another(packages: Packages, code: Path) -> None:
    first = packages.directory(str(code), [])
    assert packages.directory(str(code), []) == first
    assert files_of(first) == {"main.py", "inner/part.py"}
    (code / "main.py").write_text("X = 2\n")
    second = packages.directory(str(code), [])
    assert second != first
    assert (Path(first) / "main.py").read_text() == "X = 1\n"
    assert (Path(second) / "main.py").read_text() == "X = 2\n"


def test_a_copy_is_for_its_user_alone_and_what_could_be_executed_still_can(packages: Packages, code: Path) -> None:
    (code / "tool").write_text("#!/bin/sh\n")
    (code / "tool").chmod(0o755)
    copy = packages.directory(str(code), [])
    modes = {name: stat.S_IMODE(os.stat(os.path.join(copy, name)).st_mode) for name in ("", "tool", "main.py", "inner")}
    assert modes == {"": 0o700, "tool": 0o700, "main.py": 0o600, "inner": 0o700}


def test_the_mode_and_the_name_of_a_file_are_part_of_the_content(packages: Packages, code: Path) -> None:
    first = packages.directory(str(code), [])
    (code / "main.py").chmod(0o755)
    second = packages.directory(str(code), [])
    (code / "main.py").rename(code / "other.py")
    assert len({first, second, packages.directory(str(code), [])}) == 3


def test_excludes_and_gitignore_leave_files_out(packages: Packages, code: Path) -> None:
    for name in ("a.log", "keep.log", "data/big.bin", "inner/b.tmp", ".git/HEAD", "__pycache__/x.pyc", "inner/c.log"):
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text("")
    (code / ".gitignore").write_text("/data\n")
    (code / "inner" / ".gitignore").write_text("*.tmp\n")
    copy = packages.directory(str(code), ["*.log", "!keep.log"])
    assert files_of(copy) == {"main.py", "inner/part.py", "keep.log", ".gitignore", "inner/.gitignore"}


def test_links_are_followed_and_circles_end(packages: Packages, code: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "z.py").write_text("")
    (code / "linked").symlink_to(tmp_path / "elsewhere")
    (code / "inner" / "up").symlink_to(code)
    (code / "nothing").symlink_to("/nowhere")
    os.mkfifo(code / "pipe")
    assert files_of(packages.directory(str(code), [])) == {"main.py", "inner/part.py", "linked/z.py"}


def test_too_much_is_refused_with_what_is_largest(packages: Packages, code: Path) -> None:
    (code / "weights.bin").write_bytes(bytes(LIMIT))
    with pytest.raises(shoal.RuntimeEnvSetupError, match=r"weights.bin \(1.0 MiB\).*excludes=.*SHOAL_PACKAGE_LIMIT"):
        packages.directory(str(code), [])
    packages.directory(str(code), ["*.bin"])


def test_nothing_is_left_of_a_copy_that_failed(packages: Packages, code: Path, tmp_path: Path) -> None:
    (code / "weights.bin").write_bytes(bytes(LIMIT))
    with pytest.raises(shoal.RuntimeEnvSetupError):
        packages.directory(str(code), [])
    packages.directory(str(code), ["*.bin"])
    packages.directory(str(code), ["*.bin"])
    assert len(os.listdir(tmp_path / "packages")) == 1


def test_a_package_is_importable_from_its_copys_folder(packages: Packages, code: Path) -> None:
    assert files_of(packages.module(str(code), [])) == {"code/main.py", "code/inner/part.py"}
    assert files_of(packages.module(str(code / "main.py"), [])) == {"main.py"}


def test_an_archive_is_unpacked(packages: Packages, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("top/a.py", "A = 1")
        archive.writestr("top/b.log", "")
        archive.mkdir("empty") if hasattr(archive, "mkdir") else None
    assert files_of(packages.archive(str(path), ["*.log"])) == {"top/a.py"}


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil", "..\\evil"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(packages: Packages, tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "")
    with pytest.raises(shoal.RuntimeEnvSetupError, match="outside of its folder"):
        packages.archive(str(path), [])
    assert os.listdir(tmp_path / "packages") == []


@pytest.mark.parametrize("lib", ["purelib", "platlib"])
def test_a_wheel_whose_data_lead_out_of_its_folder_is_refused(packages: Packages, tmp_path: Path, lib: str) -> None:
    target = tmp_path / "evil.py"
    wheel = make_wheel(tmp_path, "mine", "1.0", {f"mine-1.0.data/{lib}/{target}": ""})
    with pytest.raises(shoal.RuntimeEnvSetupError, match="outside of its folder"):
        packages.archive(str(wheel), [])
    assert not target.exists()


def test_an_archive_with_links_is_refused(packages: Packages, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(shoal.RuntimeEnvSetupError, match="a link or a device"):
        packages.archive(str(path), [])


def test_an_archive_that_unpacks_to_too_much_is_refused(packages: Packages, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(LIMIT + 1))
    assert path.stat().st_size < LIMIT // 100
    with pytest.raises(shoal.RuntimeEnvSetupError, match="MiB"):
        packages.archive(str(path), [])


def test_what_is_no_archive_is_refused(packages: Packages, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("text")
    with pytest.raises(shoal.RuntimeEnvSetupError, match="cannot be unpacked"):
        packages.archive(str(tmp_path / "a.zip"), [])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_damaged_is_refused_however_it_is_compressed(
    packages: Packages, tmp_path: Path, method: int
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.py", "x = 1\n" * 1000)
        end = archive.start_dir
    content = bytearray(path.read_bytes())
    content[end - 16 : end] = bytes(byte ^ 0xFF for byte in content[end - 16 : end])
    path.write_bytes(content)
    with pytest.raises(shoal.RuntimeEnvSetupError, match=r"a\.zip cannot be"):
        packages.archive(str(path), [])
    assert os.listdir(tmp_path / "packages") == []


def test_a_wheels_modules_are_unpacked(packages: Packages, tmp_path: Path) -> None:
    modules = {"mine/__init__.py": "", "mine-1.0.data/purelib/more.py": "", "mine-1.0.data/scripts/run": ""}
    copy = packages.archive(str(make_wheel(tmp_path, "mine", "1.0", modules)), [])
    assert {name for name in files_of(copy) if "dist-info" not in name} == {"mine/__init__.py", "more.py"}


def test_a_wheel_for_another_machine_is_refused(packages: Packages, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "mine", "1.0", {})
    other = wheel.rename(tmp_path / "mine-1.0-cp27-cp27m-win32.whl")
    with pytest.raises(shoal.RuntimeEnvSetupError, match="cp27 on win32"):
        packages.archive(str(other), [])

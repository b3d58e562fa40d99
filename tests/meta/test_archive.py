# SPDX-License-Identifier: Apache-2.0
"""An archive of the sources holds every file of the project, so that it builds and passes its tests from there."""

import os
import subprocess
from pathlib import Path

import pytest
from setuptools.command.egg_info import FileList

ROOT = Path(__file__).resolve().parents[2]
BY_SETUPTOOLS = {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}  # whatever the template says


def files_of_project() -> set[str]:
    """What is under version control; in an unpacked archive, where nothing is, what its tests need at the least."""
    if not (ROOT / ".git").exists():
        return {"Makefile", "docs/architecture.md", "src/core/README.md", "benchmarks/run.py", ".ci/run"}
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name for name in listing.splitlines() if (ROOT / name).exists()}


def test_the_archive_holds_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names = FileList()
    for line in Path("MANIFEST.in").read_text().splitlines():
        if line and not line.startswith("#"):
            names.process_template_line(line)
    found = {os.path.normpath(name) for name in names.files} | BY_SETUPTOOLS
    assert files_of_project() <= found
    assert not {name for name in found if name.endswith((".so", ".pyc")) or "__pycache__" in name}

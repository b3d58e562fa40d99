# SPDX-License-Identifier: Apache-2.0
"""What CUDA may see, and when it has looked."""

import mmap
import os
from pathlib import Path

import pytest

from shoal.task import accelerators
from shoal.task.accelerators import Accelerators

FIRST, SECOND, NONE = {"gpu_mask": 1}, {"gpu_mask": 2}, {"gpu_mask": 0}


@pytest.fixture(autouse=True)
def unrestricted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")


@pytest.fixture
def looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA has opened a device in this process."""
    monkeypatch.setattr(accelerators, "DEVICE_FILES", f"{tmp_path}/nvidia")


def test_a_lease_is_shown_as_cuda_names_it() -> None:
    shown = Accelerators(2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert shown.show(SECOND)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"
    assert not shown.show(NONE)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_others_can_be_shown_until_cuda_has_looked() -> None:
    shown = Accelerators(2)
    shown.show(FIRST)
    assert not shown.is_fixed()
    assert not shown.are_others(SECOND)


def test_an_open_device_fixes_what_is_seen(tmp_path: Path, looked: None) -> None:
    shown = Accelerators(2)
    shown.show(FIRST)
    with open(tmp_path / "nvidia0", "w"):
        assert shown.is_fixed()
        assert shown.are_others(SECOND)
        assert not shown.are_others(FIRST)
        assert not shown.are_others(NONE)
    assert not shown.is_fixed()


def test_a_driver_that_found_no_device_fixes_it_too(tmp_path: Path) -> None:
    library = tmp_path / "libcuda.so.1"
    library.write_bytes(b"\0")
    shown = Accelerators(2)
    with open(library, "rb") as file, mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ):
        assert shown.is_fixed()
        assert shown.are_others(FIRST)


def test_a_node_without_gpus_has_nothing_to_fix(tmp_path: Path, looked: None) -> None:
    with open(tmp_path / "nvidia0", "w"):
        assert not Accelerators(0).is_fixed()

# SPDX-License-Identifier: Apache-2.0
"""The log file holds what was printed, and does not grow without end."""

import os
import shutil
from pathlib import Path

import pytest

from shoal.node.log_file import LogFile
from shoal.protocol.messages import LogLine


def test_lines_are_written_with_pid_and_name(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "logs" / "node.log"), 1000, pytest.fail)
    log.write([LogLine(5, "train", "epoch 1", False), LogLine(6, "", "\ud800", True)])
    log.close()
    assert Path(log.path).read_text() == "5 train: epoch 1\n6 -: ?\n"


def test_a_full_file_is_kept_once(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "node.log"), 40, pytest.fail)
    for text in ("first line", "second line", "third line"):
        log.write([LogLine(5, "f", text, False)])
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node.log", "node.log.1"]
    assert Path(log.path).read_text() == "5 f: third line\n"
    assert "second" in Path(log.path + ".1").read_text()


def test_both_files_together_stay_below_the_limit(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "node.log"), 1000, pytest.fail)
    for number in range(200):
        log.write([LogLine(5, "f", f"line {number}", False)])
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    log.write([LogLine(5, "f", "x" * 5000, False)])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    log.close()
    assert Path(log.path).read_text().endswith("xxx\n")
    none = LogFile(str(tmp_path / "none.log"), 0, pytest.fail)
    none.write([LogLine(5, "f", "nothing", False)])
    none.close()
    assert (tmp_path / "none.log").stat().st_size == 0


def test_a_file_that_was_deleted_is_begun_anew(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "logs" / "node.log"), 40, pytest.fail)
    log.write([LogLine(5, "f", "first line", False)])
    shutil.rmtree(tmp_path / "logs")
    log.write([LogLine(5, "f", "second line", False)])
    log.close()
    assert Path(log.path).read_text() == "5 f: second line\n"


def test_a_folder_that_cannot_be_written_costs_lines_and_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    log = LogFile(str(tmp_path / "logs" / "node.log"), 40, told.append)
    log.write([LogLine(5, "f", "first line", False)])
    shutil.rmtree(tmp_path / "logs")
    (tmp_path / "logs").write_text("in its place")
    other = os.open(tmp_path, os.O_RDONLY)  # whoever gets the next number is not written to
    for _ in range(3):
        log.write([LogLine(5, "f", "second line", False)])
    os.close(other)
    log.close()
    assert [log.path in text and "SHOAL_LOG_DIR" in text for text in told] == [True]


def test_a_full_disk_costs_lines_and_is_told_once() -> None:
    told: list[str] = []
    log = LogFile("/dev/full", 1000, told.append)
    for number in range(3):
        log.write([LogLine(5, "f", f"line {number}", False)])
    log.close()
    assert ["No space left" in text for text in told] == [True]

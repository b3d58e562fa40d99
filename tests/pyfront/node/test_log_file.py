# SPDX-License-Identifier: Apache-2.0
"""The log file holds what was printed, and does not grow without end."""

from pathlib import Path

from shoal.node.log_file import LogFile
from shoal.protocol.messages import LogLine


def test_lines_are_written_with_pid_and_name(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "logs" / "node.log"), 1000)
    log.write([LogLine(5, "train", "epoch 1", False), LogLine(6, "", "\ud800", True)])
    log.close()
    assert Path(log.path).read_text() == "5 train: epoch 1\n6 -: ?\n"


def test_a_full_file_is_kept_once(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "node.log"), limit_bytes=40)
    for text in ("first line", "second line", "third line"):
        log.write([LogLine(5, "f", text, False)])
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node.log", "node.log.1"]
    assert Path(log.path).read_text() == "5 f: third line\n"
    assert "second" in Path(log.path + ".1").read_text()


def test_both_files_together_stay_below_the_limit(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "node.log"), limit_bytes=1000)
    for number in range(200):
        log.write([LogLine(5, "f", f"line {number}", False)])
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    log.write([LogLine(5, "f", "x" * 5000, False)])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    log.close()
    assert Path(log.path).read_text().endswith("xxx\n")
    none = LogFile(str(tmp_path / "none.log"), limit_bytes=0)
    none.write([LogLine(5, "f", "nothing", False)])
    none.close()
    assert (tmp_path / "none.log").stat().st_size == 0

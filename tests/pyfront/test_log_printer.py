# SPDX-License-Identifier: Apache-2.0
"""Workers' lines on the driver's terminal."""

import pytest

from shoal.log_printer import LogPrinter
from shoal.protocol.messages import LogLine, LogLines, Warn

LINES = LogLines(
    lines=[
        LogLine(pid=7, name="work", text="hello", is_stderr=False),
        LogLine(pid=8, name="", text="again", is_stderr=False, count=3),
        LogLine(pid=7, name="work", text="oh no", is_stderr=True),
        LogLine(pid=9, name="work", text="alike", is_stderr=True, count=12, n_processes=4),
    ]
)


def test_lines_carry_name_and_pid_and_go_to_their_stream(capsys: pytest.CaptureFixture[str]) -> None:
    LogPrinter(is_printing=True, is_colour_allowed=True)(LINES)
    out, err = capsys.readouterr()
    assert out == "(work pid=7) hello\n(pid=8) again ... repeated 3x\n"  # no colour: not a terminal
    assert err == "(work pid=7) oh no\n(work pid=9) alike ... repeated 12x by 4 processes\n"


def test_nothing_is_printed_when_the_driver_wants_no_logs(capsys: pytest.CaptureFixture[str]) -> None:
    printer = LogPrinter(is_printing=False, is_colour_allowed=True)
    printer(LINES)
    printer(Warn(text="3 tasks wait for 8 CPUs"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "shoal: 3 tasks wait for 8 CPUs\n"


def test_left_out_lines_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    LogPrinter(is_printing=True, is_colour_allowed=False)(LogLines(lines=[], n_dropped=1200))
    assert "1,200 lines" in capsys.readouterr().err


class Gone:
    """A terminal that was closed."""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        raise BrokenPipeError


class Odd:
    """What a program may have put in the place of a stream."""

    def write(self, text: str) -> int:
        raise RuntimeError


@pytest.mark.parametrize("stream", [Gone(), Odd(), None])
def test_where_nothing_can_be_written_nothing_is(
    stream: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout", stream)
    printer = LogPrinter(is_printing=True, is_colour_allowed=True)
    printer(LINES)
    assert "oh no" in capsys.readouterr().err  # the other stream is there
    monkeypatch.setattr("sys.stderr", stream)
    printer(LINES)
    printer(Warn(text="3 tasks wait for 8 CPUs"))
    printer(LogLines(lines=[], n_dropped=1200))


def test_a_stream_need_not_know_whether_it_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tee:
        def __init__(self) -> None:
            self.text = ""

        def write(self, text: str) -> int:
            self.text += text
            return len(text)

        def flush(self) -> None: ...

    tee = Tee()
    monkeypatch.setattr("sys.stdout", tee)
    LogPrinter(is_printing=True, is_colour_allowed=True)(LINES)
    assert tee.text == "(work pid=7) hello\n(pid=8) again ... repeated 3x\n"

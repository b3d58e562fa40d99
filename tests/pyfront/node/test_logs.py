# SPDX-License-Identifier: Apache-2.0
"""Output arrives line by line under the right name; a slow driver loses lines, not workers."""

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.node import log_folding
from shoal.node.logs import MAX_BATCH_LINES, MAX_LINE_BYTES, LineCutter, LogSink, WorkerOutput
from shoal.protocol.messages import LogLine, LogLines
from shoal.protocol.output import name_mark


def line(text: str, pid: int = 1, name: str = "f", count: int = 1) -> LogLine:
    return LogLine(pid, name, text, False, count)


@given(st.lists(st.binary(max_size=30).filter(lambda part: b"\x1e" not in part)))
def test_lines_are_the_same_however_the_stream_is_cut(parts: list[bytes]) -> None:
    cutter = LineCutter("f")
    cut = [pair for part in parts for pair in cutter.feed(part)] + cutter.finish()
    whole = LineCutter("f")
    assert cut == whole.feed(b"".join(parts)) + whole.finish()


def test_a_mark_names_the_lines_after_it_and_is_not_printed() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"one\n" + name_mark("train") + b"two\nthr") == [("", "one"), ("train", "two")]
    assert cutter.finish() == [("train", "thr")]


def test_an_endless_line_is_cut() -> None:
    texts = [text for _, text in LineCutter().feed(b"x" * (2 * MAX_LINE_BYTES + 5))]
    assert [len(text) for text in texts] == [MAX_LINE_BYTES] * 2


def test_bytes_that_are_no_text_arrive_replaced() -> None:
    assert LineCutter("f").feed(b"\xff\xfe\n") == [("f", "\ufffd\ufffd")]


def test_the_first_line_is_delivered_at_once_and_the_next_ones_together() -> None:
    batches: list[LogLines] = []

    async def scenario() -> None:
        sink = LogSink(lambda batch: batches.append(batch) is None)
        sink.add([line("first")])
        while not batches:
            await asyncio.sleep(0)
        sink.add([line("second")])
        await asyncio.sleep(0)
        sink.add([line("third")])
        assert len(batches) == 1
        sink.flush()

    asyncio.run(scenario())
    assert [[entry.text for entry in batch.lines] for batch in batches] == [["first"], ["second", "third"]]


def test_what_others_print_too_is_handed_on_later_and_at_the_end_at_the_latest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_folding, "WINDOW_S", 0.01)
    batches: list[LogLines] = []

    async def scenario() -> None:
        sink = LogSink(lambda batch: batches.append(batch) is None)
        sink.add([line("alike", pid) for pid in range(5)])
        sink.flush()
        assert [batch.lines for batch in batches] == [[line("alike", 0)]]
        while len(batches) < 2:
            await asyncio.sleep(0)
        assert batches[1].lines == [LogLine(4, "f", "alike", False, 4, 4)]
        sink.add([line("alike", 5)])
        sink.finish()
        assert batches[2].lines == [line("alike", 5)]

    asyncio.run(scenario())


def test_a_reader_that_is_too_slow_is_told_how_much_it_missed() -> None:
    batches: list[LogLines] = []
    answers = iter([False, True])

    def deliver(batch: LogLines) -> bool:
        batches.append(batch)
        return next(answers)

    async def scenario() -> None:
        sink = LogSink(deliver)
        sink.add([line("lost"), line("lost too")])
        sink.flush()
        sink.add([line("seen")])
        sink.flush()

    asyncio.run(scenario())
    assert batches[-1].n_dropped == 2
    assert [entry.text for entry in batches[-1].lines] == ["seen"]


def test_a_flood_within_one_batch_is_cut_off() -> None:
    batches: list[LogLines] = []

    async def scenario() -> None:
        sink = LogSink(lambda batch: batches.append(batch) is None)
        sink.add([line(str(number)) for number in range(MAX_BATCH_LINES + 7)])
        sink.flush()

    asyncio.run(scenario())
    assert len(batches[0].lines) == MAX_BATCH_LINES
    assert batches[0].n_dropped == 7


def test_what_a_dead_worker_left_in_its_pipes_is_taken() -> None:
    lines: list[LogLine] = []

    async def scenario() -> WorkerOutput:
        (stdout, out), (stderr, err) = os.pipe(), os.pipe()
        output = WorkerOutput(7, "f", stdout, stderr, lines.extend)
        os.write(out, b"result\n")
        os.write(err, b"Traceback\nboom")
        output.finish()  # a child of the worker holds the pipes open still
        output.finish()
        os.close(out)
        os.close(err)
        return output

    output = asyncio.run(scenario())
    assert [(entry.text, entry.is_stderr) for entry in lines] == [
        ("result", False),
        ("Traceback", True),
        ("boom", True),
    ]
    assert list(output.stderr_tail) == ["Traceback", "boom"]

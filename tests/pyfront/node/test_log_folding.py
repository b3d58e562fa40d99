# SPDX-License-Identifier: Apache-2.0
"""Repeats are counted instead of printed, the first of them is never late, and no line is lost or invented."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.node.log_folding import MAX_RECENT, WINDOW_S, Repeats, fold
from shoal.protocol.messages import LogLine

LINES = st.lists(
    st.builds(LogLine, st.integers(1, 3), st.just("f"), st.sampled_from("abc"), st.booleans()), max_size=40
)


def line(text: str, pid: int = 1, name: str = "f", count: int = 1, n_processes: int = 1) -> LogLine:
    return LogLine(pid, name, text, False, count, n_processes)


def texts(lines: list[LogLine]) -> list[tuple[str, int]]:
    return [(entry.text, entry.count) for entry in lines]


# -- one process


def test_a_line_repeated_by_one_process_is_folded() -> None:
    assert fold([line("a"), line("a"), line("b"), line("a")]) == [line("a", count=2), line("b"), line("a")]


def test_a_repeated_group_of_lines_is_folded() -> None:
    assert texts(fold([line(text) for text in "ababab"])) == [("a", 3), ("b", 3)]
    assert texts(fold([line(text) for text in "xabcabcaby"])) == [
        ("x", 1), ("a", 2), ("b", 2), ("c", 2), ("a", 1), ("b", 1), ("y", 1)
    ]  # fmt: skip


def test_lines_of_other_processes_between_do_not_hinder_folding() -> None:
    lines = [line("a", pid) for _ in range(3) for pid in (1, 2)]
    assert fold(lines) == [line("a", 1, count=3), line("a", 2, count=3)]


def test_equal_text_under_another_name_is_another_line() -> None:
    assert len(fold([line("a", name="f"), line("a", name="g")])) == 2


@given(LINES)
def test_folding_keeps_every_line_and_the_order_of_the_first_ones(lines: list[LogLine]) -> None:
    folded = fold(lines)
    for pid in (1, 2, 3):
        for text in "abc":
            before, after = (
                sum(entry.count for entry in some if (entry.pid, entry.text) == (pid, text)) for some in (lines, folded)
            )
            assert before == after
    assert [entry.text for entry in folded][:1] == [entry.text for entry in lines][:1]
    rest = iter(lines)
    assert all(any((entry.pid, entry.text) == (it.pid, it.text) for it in rest) for entry in folded)


# -- several processes


def test_what_others_print_too_is_said_once_with_how_often() -> None:
    repeats = Repeats()
    assert repeats.take([line("a", 1)], 0.0) == [line("a", 1)]
    assert repeats.due_s is None
    assert repeats.take([line("a", pid) for pid in (2, 3, 2, 1)], 1.0) == []
    assert repeats.due_s == WINDOW_S
    assert repeats.take([], WINDOW_S) == [line("a", 1, count=4, n_processes=3)]
    assert repeats.due_s is None


def test_it_goes_on_being_held_and_is_new_after_a_pause() -> None:
    repeats = Repeats()
    repeats.take([line("a", 1), line("a", 2)], 0.0)
    assert repeats.take([line("a", 3)], WINDOW_S) == [line("a", 2)]  # one alone is printed as it was
    assert repeats.take([], 2 * WINDOW_S) == [line("a", 3)]
    assert repeats.take([], 3 * WINDOW_S) == []
    assert repeats.take([line("a", 4)], 3 * WINDOW_S) == [line("a", 4)]


def test_one_process_alone_is_never_held_back() -> None:
    repeats = Repeats()
    for second in range(4):
        assert repeats.take([line("a"), line("b")], float(second)) == [line("a"), line("b")]


def test_interleaved_lines_are_folded_too() -> None:
    repeats = Repeats()
    lines = [line(text, pid) for pid in range(10) for text in ("a", "b")]
    assert repeats.take(lines, 0.0) == [line("a", 0), line("b", 0)]
    assert repeats.rest() == [line("a", 9, count=9, n_processes=9), line("b", 9, count=9, n_processes=9)]
    assert repeats.rest() == []


def test_different_numbers_are_different_lines() -> None:
    assert len(Repeats().take([line(f"loss {pid}", pid) for pid in range(10)], 0.0)) == 10


def test_memory_is_bounded() -> None:
    repeats = Repeats()
    assert repeats.take([line("first", 1), line("first", 2)], 0.0) == [line("first", 1)]
    out = repeats.take([line(f"{n}") for n in range(MAX_RECENT)], 0.0)
    assert len(out) == MAX_RECENT + 1
    assert out[-1] == line("first", 2)
    assert len(repeats._recent) == MAX_RECENT


@given(st.lists(st.tuples(LINES, st.floats(0, 10)), max_size=8))
def test_no_line_is_lost_or_invented(batches: list[tuple[list[LogLine], float]]) -> None:
    repeats, out, now_s = Repeats(), [], 0.0
    for lines, pause_s in batches:
        now_s += pause_s
        out += repeats.take(lines, now_s)
    out += repeats.rest()
    for text in "abc":
        printed = sum(entry.text == text for lines, _ in batches for entry in lines)
        assert sum(entry.count for entry in out if entry.text == text) == printed

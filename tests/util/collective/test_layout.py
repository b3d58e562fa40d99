# SPDX-License-Identifier: Apache-2.0
"""Nothing in a group's memory overlaps, slots are pages, and small stores get small slots."""

from itertools import pairwise

import pytest

from shoal._core._node import board_bytes
from shoal.util.collective.layout import (
    LEAST_SLOT_BYTES,
    N_MAIL_SLOTS,
    N_SLOTS,
    N_TEXTS,
    PAGE,
    SLOT_BYTES,
    STORE_SHARE,
    Layout,
    refused_from,
    sent_to,
    slot_bytes_for,
    taken_from,
    words_of,
)


@pytest.mark.parametrize("n", [1, 3, 64, 256])
def test_parts_do_not_overlap(n: int) -> None:
    layout = Layout(n, LEAST_SLOT_BYTES, board_bytes(n, words_of(n)))
    parts = [slice(0, layout.line_bytes)]
    parts += [layout.text(rank, at) for rank in range(n) for at in range(N_TEXTS)]
    parts += [layout.slot(rank, at) for rank in range(n) for at in range(N_SLOTS + N_MAIL_SLOTS)]
    for before, after in pairwise(parts):
        assert before.stop <= after.start
    assert parts[-1].stop == layout.total_bytes
    assert all(layout.slot(rank, 0).start % PAGE == 0 for rank in range(n))
    assert layout.text(n - 1, N_TEXTS - 1).stop <= layout.head_bytes


def test_every_word_has_a_place_of_its_own() -> None:
    words = [word(rank) for rank in range(5) for word in (sent_to, taken_from, refused_from)]
    assert sorted(words) == list(range(words_of(0), words_of(5)))


def test_a_group_takes_a_share_of_the_store_at_most() -> None:
    assert slot_bytes_for(2, 1 << 40) == SLOT_BYTES
    assert slot_bytes_for(2, 48 << 20) == (48 << 20) // STORE_SHARE // 12 // PAGE * PAGE
    assert slot_bytes_for(100, 1 << 20) == LEAST_SLOT_BYTES

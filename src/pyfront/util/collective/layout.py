# SPDX-License-Identifier: Apache-2.0
"""What lies where in the memory that a group shares: words, texts, slots. Pure.

First the lines of words (`Board`), then each rank's texts, then each rank's slots: room for blocks of tensors on their
way. A slot is small enough to stay in the processor's cache until the others have read it."""

from __future__ import annotations

from typing import NamedTuple

# Words of a rank: how many blocks it has filled, reduced and done with, over all operations; then, for each rank,
# blocks sent to it, blocks taken from it, and at which of those its last message was refused.
JOINED, FILLED, REDUCED, DONE, LEFT = range(5)
N_WORDS = 8

LEFT_WELL, LEFT_BROKEN = 1, 2  # values of LEFT: destroyed the group; stopped in the middle of an operation

# Texts of a rank: who it is; what it does in operations of even and odd number; what it sends; what it receives; why
# it left.
IDENTITY, OPERATION, SENDING, RECEIVING, REASON = 0, 1, 3, 4, 5
N_TEXTS = 6
TEXT_BYTES = 1024

N_SLOTS = 4  # of operations of all ranks: three steps of a pipeline, and one to spare
N_MAIL_SLOTS = 2  # of send and recv
SLOT_BYTES = 1 << 20
LEAST_SLOT_BYTES = 1 << 16
STORE_SHARE = 8  # a group takes at most one part of so many of the store
PAGE = 4096


class Layout(NamedTuple):
    """Sizes of one group's memory."""

    world_size: int
    slot_bytes: int
    line_bytes: int  # of all words

    @property
    def n_words(self) -> int:
        """Words of each rank."""
        return words_of(self.world_size)

    def text(self, rank: int, number: int) -> slice:
        """Where a text lies."""
        start = self.line_bytes + (rank * N_TEXTS + number) * TEXT_BYTES
        return slice(start, start + TEXT_BYTES)

    @property
    def head_bytes(self) -> int:
        """Everything before the slots; begins as zeros."""
        return _pages(self.line_bytes + self.world_size * N_TEXTS * TEXT_BYTES)

    def slot(self, rank: int, number: int) -> slice:
        """Where a slot lies; those of mail come last."""
        start = self.head_bytes + (rank * (N_SLOTS + N_MAIL_SLOTS) + number) * self.slot_bytes
        return slice(start, start + self.slot_bytes)

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.head_bytes + self.world_size * (N_SLOTS + N_MAIL_SLOTS) * self.slot_bytes


def words_of(world_size: int) -> int:
    """Words of each rank in a group of so many."""
    return N_WORDS + 3 * world_size


def sent_to(rank: int) -> int:
    """The word that counts blocks sent to a rank."""
    return N_WORDS + 3 * rank


def taken_from(rank: int) -> int:
    """The word that counts blocks taken from a rank."""
    return N_WORDS + 3 * rank + 1


def refused_from(rank: int) -> int:
    """The word that says with how many blocks taken from a rank its last message was refused."""
    return N_WORDS + 3 * rank + 2


def slot_bytes_for(world_size: int, store_bytes: int) -> int:
    """The size of a slot: as large as is good, in a small store less."""
    share = store_bytes // STORE_SHARE // (world_size * (N_SLOTS + N_MAIL_SLOTS))
    return max(LEAST_SLOT_BYTES, min(SLOT_BYTES, share // PAGE * PAGE))


def _pages(n_bytes: int) -> int:
    return -(-n_bytes // PAGE) * PAGE

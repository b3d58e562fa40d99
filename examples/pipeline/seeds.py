# SPDX-License-Identifier: Apache-2.0
"""Seeds of episodes: reproducible, and never the same for training, evaluation and serving."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator

SEEDS_PER_PURPOSE = 1_000_000


class Purpose(enum.IntEnum):
    """What an episode is played for."""

    TRAINING = 0
    EVALUATION = 1
    SERVING = 2


def seeds(job_seed: int, purpose: Purpose) -> Iterator[int]:
    """The seeds of a job's episodes of one purpose, in order. Ranges of different jobs and purposes do not meet."""
    return itertools.count((job_seed * len(Purpose) + purpose) * SEEDS_PER_PURPOSE)

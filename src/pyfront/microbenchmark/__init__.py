# SPDX-License-Identifier: Apache-2.0
"""The microbenchmark: Ray's single-machine rows under Ray's names, and more, over any system with Ray's API.

General layout: row.py and bench.py say what a row is and how it times; `*_rows.py` are the rows, workload.py the tasks
and actors they call; suite.py is the list and the loop. Up to there only the standard library and numpy are used, and
nothing of Shoal, so the same rows run where only Ray is installed. report.py and command.py are the command.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .command import run as run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    # Lazily: command.py needs rich, which an environment that has only a peer installed does not have.
    if name == "run":
        from .command import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

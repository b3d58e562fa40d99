# SPDX-License-Identifier: Apache-2.0
"""`python -m shoal.microbenchmark`: the same as `shoal microbenchmark`."""

from __future__ import annotations

from typing import Annotated

import typer

from .bench import DEFAULT_BUDGET_S
from .command import run


def microbenchmark(
    filter: Annotated[str | None, typer.Option(help="Only rows whose name matches this regular expression.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per row.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Go through all rows this often; medians are printed.")] = 1,
    budget: Annotated[float, typer.Option(min=0.01, help="Seconds given to each row.")] = DEFAULT_BUDGET_S,
) -> None:
    """Measure Shoal on this machine."""
    try:
        run(filter, json, rounds, budget_s=budget)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


if __name__ == "__main__":
    typer.run(microbenchmark)

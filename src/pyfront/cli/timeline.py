# SPDX-License-Identifier: Apache-2.0
"""`shoal timeline`: what ran when, as a file for Perfetto."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from shoal.cli.render import Address, AsJson, failing, print_json


def timeline(
    path: Annotated[
        str | None, typer.Argument(help="The file to make. [default: shoal-timeline-<time>.json, here]")
    ] = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Write down what the node's processes did, for https://ui.perfetto.dev; with --json print it."""
    import json

    from shoal.util.state.timeline import timeline as read_timeline

    with failing():
        events = read_timeline(None, address)
        assert events is not None
        if as_json:
            print_json(events, indent=0)
            return
        made = path or f"shoal-timeline-{time.strftime('%Y%m%d-%H%M%S')}.json"
        with open(made, "w") as file:
            json.dump(events, file)
    typer.echo(f"{os.path.abspath(made)}: {len(events):,} events; open it at https://ui.perfetto.dev")

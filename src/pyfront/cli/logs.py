# SPDX-License-Identifier: Apache-2.0
"""`shoal logs`: what the node's workers have printed, and what they print from now on."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from shoal.cli.render import Address, AsJson, fail, failing, print_json

LONG_WAIT_S = 20.0  # the daemon answers at once when there is a line
GRACE_S = 10.0


def logs(
    source: Annotated[str, typer.Argument(help="A task's or an actor's name, or a pid; without it, all.")] = "",
    tail: Annotated[int, typer.Option("--tail", "-n", min=1, help="The most lines of the past.")] = 1000,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C, or until the node ends.")] = False,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """What tasks and actors printed, the newest lines last. A node keeps the last 20,000 of them."""
    from shoal.protocol.tables import ReadOutput
    from shoal.util.state.source import opened

    with failing(), opened(address) as node:
        answer = node.ask(ReadOutput(source, most=tail))
        if answer is None:
            raise fail("only the daemon has what was printed, and it does not answer")
        if not answer.lines and not follow:
            raise fail(f"nothing was printed{f' by {source}' if source else ''}")
        while answer is not None:
            if answer.n_forgotten:
                typer.echo(f"shoal: {answer.n_forgotten:,} lines are not kept any more", err=True)
            for line in answer.lines:
                if as_json:
                    print_json(
                        {"pid": line.pid, "name": line.name, "text": line.text, "is_stderr": line.is_stderr}, indent=0
                    )
                else:
                    typer.echo(
                        f"({line.name} pid={line.pid}) {line.text}" if line.name else f"(pid={line.pid}) {line.text}"
                    )
            sys.stdout.flush()
            if not follow:
                return
            more = ReadOutput(source, after=answer.next, most=tail, wait_s=LONG_WAIT_S)
            answer = node.ask(more, LONG_WAIT_S + GRACE_S)

# SPDX-License-Identifier: Apache-2.0
"""`shoal why`: who waits for what, as a tree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli.render import WIDE, Address, AsJson, fail, failing, print_json

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from shoal.util.state.reasons import Reason


def why(
    target: Annotated[
        str | None, typer.Argument(help="A task, actor or object: its id, the beginning of it, or a name; or a pid.")
    ] = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Why something does not move: who waits for what, down to what is missing. Without a target: all that waits."""
    from shoal.util import state

    with failing():
        reasons = state.why(target, address)
    if target is not None and not reasons:
        raise fail(f"nothing on this node is called {target}; `shoal list tasks` and the like show what there is")
    if as_json:
        print_json(reasons)
    elif not reasons:
        typer.echo("Nothing waits.")
    else:
        print_reasons(reasons)


def print_reasons(reasons: list[Reason]) -> None:
    """One tree for each."""
    from rich.console import Console
    from rich.tree import Tree

    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    for reason in reasons:
        tree = Tree(_label(reason))
        _grow(tree, reason)
        console.print(tree)


def _label(reason: Reason) -> Text:
    from rich.text import Text

    colour = {"circle": "bold red", "resources": "red", "store": "red"}.get(reason.kind, "")
    return Text.assemble((reason.subject, "bold"), " ", (reason.text, colour))


def _grow(tree: Tree, reason: Reason) -> None:
    for inner in reason.because:
        _grow(tree.add(_label(inner)), inner)

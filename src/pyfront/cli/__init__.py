# SPDX-License-Identifier: Apache-2.0
"""The command `shoal`. Each subcommand imports what it needs when it runs, so `shoal version` answers at once.

General layout: one file for each command or family of them; `render` is how all of them print and fail. Exit codes: 0
done, 1 no such thing or it failed, 2 wrong use."""

from __future__ import annotations

import platform

import typer

from shoal.cli.as_ray import as_ray
from shoal.cli.dump import dump
from shoal.cli.logs import logs
from shoal.cli.memory import memory
from shoal.cli.metrics import metrics
from shoal.cli.nouns import get_row, list_rows, summarize
from shoal.cli.render import AsJson, print_json
from shoal.cli.stack import stack
from shoal.cli.status import status
from shoal.cli.timeline import timeline
from shoal.cli.why import why

main = typer.Typer(name="shoal", help="Distributed futures at memory speed.", no_args_is_help=True)
main.command("status")(status)
main.command("list")(list_rows)
main.command("get")(get_row)
main.command("summary")(summarize)
main.command("why")(why)
main.command("memory")(memory)
main.command("metrics")(metrics)
main.command("stack")(stack)
main.command("logs")(logs)
main.command("timeline")(timeline)
main.command("dump")(dump)
main.command(
    "as-ray",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)(as_ray)


@main.command()
def version(as_json: AsJson = False) -> None:
    """Print the versions of Shoal and Python."""
    from shoal.version import __version__

    if as_json:
        print_json({"shoal": __version__, "python": platform.python_version(), "machine": platform.machine()})
        return
    typer.echo(f"shoal {__version__}, Python {platform.python_version()}, {platform.machine()}")


@main.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def microbenchmark(context: typer.Context) -> None:
    """Measure this machine: the rows of Ray's microbenchmark and more. Options: `shoal microbenchmark --help`."""
    from shoal.microbenchmark.__main__ import microbenchmark as measure

    command = typer.Typer()
    command.command()(measure)
    command(args=context.args, prog_name="shoal microbenchmark")

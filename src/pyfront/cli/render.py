# SPDX-License-Identifier: Apache-2.0
"""How commands show what they found: a table for people, JSON for programs. And how they fail."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

Address = Annotated[
    str | None,
    typer.Option(help="The node's folder, or auto for your newest node. [default: SHOAL_ADDRESS, else auto]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FAILED = 1
WIDE = 10_000  # columns where nobody's terminal cuts


@contextmanager
def failing() -> Iterator[None]:
    """Turn what is wrong with a node or a query into one line on stderr and exit code 1 or 2; warnings into lines."""
    from shoal.errors import ShoalError
    from shoal.link import RequestRefused

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except ValueError as error:
            if isinstance(error, ShoalError):
                raise fail(str(error)) from error
            raise typer.BadParameter(str(error)) from error
        except (ShoalError, RequestRefused, OSError) as error:
            raise fail(str(error)) from error
        finally:
            for warning in caught:
                typer.echo(f"shoal: {warning.message}", err=True)


def fail(text: str) -> typer.Exit:
    """Say why on stderr -> what to raise."""
    typer.echo(f"shoal: {text}", err=True)
    return typer.Exit(FAILED)


def print_json(value: object, indent: int = 2) -> None:
    """Records, dictionaries and lists of them; `indent` 0: on one line."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=indent).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Rows under headings. Where the output is no terminal, each row is one line, whole."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(show(cell), style=style_of(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDE, highlight=False).print(table)


COLOURS = {
    "RUNNING": "green",
    "ALIVE": "green",
    "RESOLVED": "green",
    "DEAD": "red",
    "ERROR": "red",
    "FAILED": "red",
    "STOPPED": "red",
    "NO_ROOM": "red",
    "UNRESPONSIVE": "red",
}


def style_of(cell: object) -> str:
    """The colour of a state; what waits is yellow."""
    if not isinstance(cell, str):
        return ""
    return COLOURS.get(cell) or ("yellow" if cell.startswith(("PENDING", "RUNNING_IN", "IN_")) else "")


def show(cell: object) -> str:
    """A cell as text."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    if isinstance(cell, Mapping):
        return ", ".join(f"{name}: {amount(name, value)}" for name, value in cell.items())
    return str(cell)


def amount(name: str, value: Any) -> str:
    """An amount of a resource in its unit."""
    return size(value) if name == "memory" else f"{value:g}" if isinstance(value, float) else str(value)


def size(n_bytes: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n_bytes) < 1024 or unit == "GiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"

# SPDX-License-Identifier: Apache-2.0
"""`shoal dump`: one archive for a bug report."""

from __future__ import annotations

import io
import os
import tarfile
import time
from typing import Annotated

import typer

from shoal.cli.render import Address, AsJson, failing, print_json, print_table, size
from shoal.cli.stack import stacks_of, text_of

ABOUT = """This archive was made by `shoal dump`. It has no values, no arguments, no code, no values of variables.
It has names of functions, actors and their files; stacks, with the source lines in them; {output}
Read it before you pass it on.
"""


def dump(
    path: Annotated[
        str | None, typer.Argument(help="The archive to make. [default: shoal-dump-<node>-<time>.tar.gz, here]")
    ] = None,
    no_output: Annotated[bool, typer.Option("--no-output", help="Without what workers printed.")] = False,
    no_stacks: Annotated[bool, typer.Option("--no-stacks", help="Without stacks.")] = False,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Write down all that helps who is told of a defect, in one archive that only you can read."""
    from shoal.config import own_environment
    from shoal.util.state.report import node_report
    from shoal.util.state.source import opened

    with failing():
        with opened(address) as source:
            files = node_report(source, own_environment(), has_output=not no_output)
            if not no_stacks:
                files["stacks.txt"] = "\n".join(map(text_of, stacks_of(source)))
            made = path or f"shoal-dump-{source.node_id}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz"
        output = "and no output of workers." if no_output else "and the newest lines that workers printed."
        files["README.txt"] = ABOUT.format(output=output)
        write_archive(made, files)
    listed = [{"name": name, "bytes": len(text.encode())} for name, text in sorted(files.items())]
    if as_json:
        print_json({"path": os.path.abspath(made), "files": listed})
        return
    print_table(("file", "size"), ((one["name"], size(len(files[str(one["name"])].encode()))) for one in listed))
    typer.echo(f"{made}: {size(os.path.getsize(made))}. Read it before you pass it on.")


def write_archive(path: str, files: dict[str, str]) -> None:
    """A new tar.gz for its owner alone. Raises FileExistsError rather than write over anything, and OSError."""
    folder = os.path.basename(path).partition(".")[0]
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, text in sorted(files.items()):
            data = text.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(data))

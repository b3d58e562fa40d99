# SPDX-License-Identifier: Apache-2.0
"""Measure one system in the environment that runs this file: `python benchmarks/child.py SYSTEM`.

Prints one JSON object per line: {"version": ...} first, then for each row {"start": name} and its result. The parent
sees from the last start which row hung or killed the process.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys

import rows_package
from systems.registry import BY_KEY

rows_package.load()


def main() -> None:
    """Measure the rows named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=BY_KEY)
    parser.add_argument("--budget", type=float, default=0.4, help="seconds for each row")
    parser.add_argument("--patience", type=float, default=0.8, help="seconds for the row of a million tasks")
    parser.add_argument("--row", action="append", help="exact name of a row; repeat for several; default: all")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    arguments = parser.parse_args()
    # Workers and their libraries print to descriptor 1, which must carry nothing but JSON.
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def emit(**fields: object) -> None:
        lines.write(json.dumps(fields) + "\n")

    from microbenchmark.suite import measure

    system = BY_KEY[arguments.system]
    module = importlib.import_module(f"systems.{system.module}")
    rows = [row for row in module.rows(system.key) if arguments.row is None or row.name in arguments.row]
    emit(version=_version(system.version_of), rows=[row.name for row in rows])
    if arguments.list:
        return
    with module.open_bench(system.key, arguments.budget, arguments.patience) as bench:
        for outcome in measure(bench, rows, lambda row: emit(start=row.name)):
            measured = outcome.measurement
            emit(
                row=outcome.row.name,
                unit=outcome.row.unit,
                value=None if measured is None else measured.value,
                n=None if measured is None else measured.n,
                note="" if measured is None else measured.note,
                failure=("skipped: " if outcome.skipped else "failed: ") + outcome.failure if outcome.failure else "",
            )


def _version(distribution: str) -> str:
    if not distribution:
        return f"Python {platform.python_version()}"
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())

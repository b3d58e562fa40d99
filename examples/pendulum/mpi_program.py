# SPDX-License-Identifier: Apache-2.0
"""The MPI peer, started by mpiexec as one process per core: rounds of one run each, with a barrier after each round.

Its arguments are those of `make_runs`; rank 0 prints one line of JSON: the seconds and the outcomes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from mpi4py import MPI

from pendulum.workload import ROUNDS, Outcome, make_runs, pendulum, simulate


def main() -> None:
    cores, seed, shortest, longest = map(int, sys.argv[1:])
    world = MPI.COMM_WORLD
    runs = make_runs(cores, seed, shortest, longest)
    pendulum()  # imports and construction are no part of the comparison
    outcomes: list[Outcome] = []

    world.Barrier()
    started_s = MPI.Wtime()
    for first in range(0, ROUNDS * cores, cores):
        gathered = world.gather(simulate(runs[first + world.rank]), root=0)
        world.Barrier()
        outcomes += gathered or []
    seconds = MPI.Wtime() - started_s

    if world.rank == 0:
        print(json.dumps({"seconds": seconds, "outcomes": [asdict(outcome) for outcome in outcomes]}))


if __name__ == "__main__":
    main()

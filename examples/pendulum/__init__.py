# SPDX-License-Identifier: Apache-2.0
"""The parts of `pendulum_simulation.py`.

General layout (imports point down this list):
  report         the table and the JSON
  mpi            starts the MPI peer and reads its answer; mpi_program is that peer
  makespan       how long each way takes if only the lengths of the runs count
  workload       the runs, the same for both ways
"""

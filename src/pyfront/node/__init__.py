# SPDX-License-Identifier: Apache-2.0
"""A node's daemon and zygote, and how a driver starts or finds them.

Three kinds of process: a driver executes the daemon, the daemon executes the zygote, the zygote forks the workers.
The daemon owns the segment; beside its compiled thread it only does what no call waits for.

General layout: `launch` is the driver's side. `daemon` is the daemon's loop and puts together what the others do:
`sessions` the folder with the socket, `connections` the clients, `requests` their questions, `worker_pool` the
processes, `deaths` how they ended, `actors` the registry, `jobs` what belongs to one driver, `resources` the ledger,
`logs` the output. `zygote` is the other process, and `processes` is what both ask of the operating system.
"""

# SPDX-License-Identifier: Apache-2.0
"""A folder for the module path: with it in PYTHONPATH, `import ray` means `shoal.compat.ray`, whatever is installed.

Python imports its `sitecustomize` when it starts, in every process that inherits the variable. Its `ray` is for workers
of a node that another program started: they get the module path of their driver only."""

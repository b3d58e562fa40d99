# SPDX-License-Identifier: Apache-2.0
"""`python -m shoal.cli`."""

from shoal.cli import main

main()

# SPDX-License-Identifier: Apache-2.0
"""Makes the modules of benchmarks/ importable: they are a program, not part of the package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import rows_package

rows_package.load()

# SPDX-License-Identifier: Apache-2.0
"""Makes the packages of the examples importable, as `python examples/simulate_train_serve.py` does."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

# SPDX-License-Identifier: Apache-2.0
"""What `import shoal` loads: little, because every program waits for it."""

import subprocess
import sys

# Each of them takes half a millisecond or more, and what needs it can import it then.
LATER = {
    "asyncio",
    "cloudpickle",
    "concurrent",
    "contextvars",
    "hashlib",
    "importlib",
    "inspect",
    "json",
    "msgspec",
    "numpy",
    "pickle",
    "socket",
    "struct",
    "subprocess",
    "threading",
    "traceback",
}
PROGRAM = """
import sys
before = set(sys.modules)
import shoal
print(*sorted(set(sys.modules) - before))
"""


def test_import_loads_nothing_that_can_wait() -> None:
    loaded = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.split()
    assert "shoal.api" in loaded
    assert not LATER & {name.partition(".")[0] for name in loaded}

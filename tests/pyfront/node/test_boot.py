# SPDX-License-Identifier: Apache-2.0
"""What a process of a node finds that was executed without the package's public names."""

import subprocess
import sys
from types import ModuleType

from shoal.node import boot


def test_a_worker_has_the_package_as_an_import_gives_it(shoal_node: ModuleType) -> None:
    def look() -> tuple[bool, list[str]]:
        import shoal

        parts = [name for name in sys.modules if name.startswith("shoal.") and name.count(".") == 1]
        lost = [name for name in parts if getattr(shoal, name[len("shoal.") :], None) is not sys.modules[name]]
        return shoal is sys.modules["shoal"] and shoal.__spec__ is not None, lost

    is_whole, lost = shoal_node.get(shoal_node.remote(look).remote())
    assert is_whole
    assert lost == []


def test_public_names_can_be_imported_later() -> None:
    program = boot._program("shoal.config").replace("import main; main(*arguments)", "import own_environment")
    later = (
        "; print(hasattr(sys.modules['shoal'], 'get')); from shoal.node.boot import import_public_names"
        "; import_public_names(); import shoal"
        "; print(shoal.get.__name__, shoal.config.own_environment is own_environment)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program + later, boot.PATH_SEPARATOR.join(sys.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["False", "get", "True"]

# SPDX-License-Identifier: Apache-2.0
"""Workers that a fork of the zygote cannot be: the forked child executes a fresh interpreter, and goes on there.

A fork has the zygote's modules, and libraries that read their variables when they were loaded. So it will do for an
environment of files alone; not for one with variables, nor with installed packages, nor where a file has the name of a
module that is loaded already. The process keeps its pid, its parent, its death signal and its descriptors, so nobody
else sees a difference.

The new interpreter finds this node's Shoal wherever its environment's path leads; all else, what Shoal itself imports
too, comes from that path. Installed packages come after the driver's own folders and the standard library, and before
the driver's installed packages: where they would be if they had been installed there.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import NoReturn

from shoal.node.newborn import SITE_NAMES, STILLBORN, Birth, halves, take_streams
from shoal.protocol.messages import encode
from shoal.protocol.orders import StartOrder, decode_order

# Runs before anything of Shoal can be imported. `sites` may add folders and import hooks, by their .pth files.
PROGRAM = """
import sys
sys.path[:] = filter(None, sys.path)  # where it is now has nothing to say yet
import importlib.util, json, site
plan = json.loads(sys.argv[1])
del sys.argv[1:]
for folder in plan["sites"]:
    site.addsitedir(folder)
known = {*plan["before"], *plan["after"]}
sys.path[:] = [*plan["before"], *(entry for entry in sys.path if entry not in known), *plan["after"]]
class ThisShoal:
    @staticmethod
    def find_spec(name, path=None, target=None):
        folder = plan["packages"].get(name)
        return folder and importlib.util.spec_from_file_location(
            name, folder + "/__init__.py", submodule_search_locations=[folder])
sys.meta_path.insert(0, ThisShoal)
from shoal.node.fresh import main
main(plan["descriptors"])
"""
PATH_VARIABLE = "PYTHONPATH"
PACKAGES = ("shoal", "shoal._core")  # the core lies elsewhere where Shoal is installed in place


def is_forkable(order: StartOrder) -> bool:
    """Whether a fork of this process finds what the order's environment promises."""
    environment = order.environment
    if environment is None:
        return True
    if environment.env_vars or order.prefix:
        return False
    loaded = {name.partition(".")[0] for name in sys.modules}
    for folder in (environment.working_dir, *environment.py_modules):
        if folder and any(name.partition(".")[0] in loaded for name in os.listdir(folder)):
            return False
    return True


def execute(birth: Birth) -> NoReturn:
    """Become the worker in a fresh interpreter, or end as one that could not start."""
    try:
        _execute(birth)
    except OSError as error:
        take_streams(*birth.descriptors[1:])
        os.write(2, f"shoal: the interpreter of this environment could not be executed: {error}\n".encode())
        os._exit(STILLBORN)


def _execute(birth: Birth) -> NoReturn:
    import json  # few workers come here

    order = birth.order
    before, after = halves(order)
    environ = variables(order, os.environ)
    if order.environment is not None and PATH_VARIABLE in order.environment.env_vars:
        before[:0] = filter(None, environ[PATH_VARIABLE].split(os.pathsep))
    body = os.memfd_create("shoal-order")  # its variables may be secrets, which arguments are not for
    os.write(body, encode(order))
    os.lseek(body, 0, os.SEEK_SET)
    descriptors = [body, *birth.descriptors]
    plan = {
        "descriptors": descriptors,
        "before": before,
        "after": after,
        "sites": [folder for folder in after if os.path.basename(folder) in SITE_NAMES] if order.prefix else [],
        "packages": {name: next(iter(sys.modules[name].__path__)) for name in PACKAGES},
    }
    for fd in descriptors:
        os.set_inheritable(fd, True)
    python = os.path.join(order.prefix, "bin", "python") if order.prefix else sys.executable
    flags = ["-O"] * sys.flags.optimize + ["-B"] * sys.flags.dont_write_bytecode
    os.execve(python, [python, *flags, "-c", PROGRAM, json.dumps(plan)], environ)


def variables(order: StartOrder, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the order's environment, put over those that the node has."""
    found = dict(environ)
    if order.prefix:
        found["VIRTUAL_ENV"] = order.prefix
        found["PATH"] = os.pathsep.join([os.path.join(order.prefix, "bin"), *filter(None, [found.get("PATH")])])
    given = order.environment.env_vars if order.environment is not None else {}
    return found | {name: _expanded(text, found) for name, text in given.items()}


def _expanded(text: str, found: Mapping[str, str]) -> str:
    """`${NAME}` replaced by what the node has, or by nothing."""
    return re.sub(r"\$\{([A-Za-z_]\w*)\}", lambda name: found.get(name[1], ""), text)


def main(descriptors: list[int]) -> NoReturn:
    """Go on, in the new interpreter, where `execute` left."""
    import gc

    from shoal.node import newborn
    from shoal.worker.streams import open_streams

    gc.disable()
    open_streams()
    body, *given = descriptors
    with os.fdopen(body, "rb") as file:
        order = decode_order(file.read())
    for fd in given:
        os.set_inheritable(fd, False)
    assert isinstance(order, StartOrder)
    newborn.live(Birth(order, given, is_fresh=True))

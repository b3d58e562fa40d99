# SPDX-License-Identifier: Apache-2.0
"""Which workers are forks and which are not, and what a fresh one finds: its path and its variables."""

from pathlib import Path

from shoal.node.fresh import is_forkable, variables
from shoal.node.newborn import halves
from shoal.protocol.environment import Environment
from shoal.protocol.orders import StartOrder

SITE = "/usr/lib/python3/site-packages"


def order(environment: Environment | None, path: list[str] | None = None, prefix: str = "") -> StartOrder:
    return StartOrder(1, 1, b"/", [entry.encode() for entry in path or []], None, None, environment, prefix)


def test_a_fork_will_do_for_files_whose_names_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "nobody_has_this.py").write_text("")
    assert is_forkable(order(None))
    assert is_forkable(order(Environment(working_dir=str(tmp_path))))
    assert is_forkable(order(Environment(py_modules=[str(tmp_path)])))
    (tmp_path / "os.py").write_text("")
    assert not is_forkable(order(Environment(working_dir=str(tmp_path))))
    assert not is_forkable(order(Environment(py_modules=[str(tmp_path)])))


def test_a_fork_will_not_do_for_variables_and_packages() -> None:
    assert not is_forkable(order(Environment(env_vars={"A": "1"})))
    assert not is_forkable(order(Environment(), prefix="/prefix"))


def test_without_an_environment_the_path_is_the_drivers() -> None:
    assert halves(order(None, ["/a", SITE])) == (["/a", SITE], [])


def test_what_an_environment_brings_comes_first_and_packages_are_apart(tmp_path: Path) -> None:
    (tmp_path / "copy" / "src").mkdir(parents=True)
    copy = str(tmp_path / "copy")
    environment = Environment(working_dir=copy, source_dir="/home/code", py_modules=["/m"])
    path = ["/home/code", "/home/code/src", "/home/code/gone", "/home/codes", "/usr/lib/python3", SITE, "/after"]
    before, after = halves(order(environment, path))
    assert before == [copy, "/m", f"{copy}/src", "/home/code/gone", "/home/codes", "/usr/lib/python3"]
    assert after == [SITE, "/after"]


def test_variables_go_over_the_nodes_and_may_name_them() -> None:
    found = variables(order(Environment(env_vars={"A": "${A}:x", "B": "$A ${NONE}"})), {"A": "1", "C": "2"})
    assert found == {"A": "1:x", "B": "$A ", "C": "2"}


def test_the_programs_of_installed_packages_are_found() -> None:
    found = variables(order(Environment(env_vars={"PATH": "/mine:${PATH}"}), prefix="/prefix"), {"PATH": "/bin"})
    assert found == {"PATH": "/mine:/prefix/bin:/bin", "VIRTUAL_ENV": "/prefix"}

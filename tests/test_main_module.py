# SPDX-License-Identifier: Apache-2.0
"""Functions and classes of `__main__`: scripts, the interactive interpreter, modules beside the script."""

import subprocess
import sys
import textwrap
from pathlib import Path

DEFINITIONS = """
import shoal

OFFSET = 10

class Point:
    def __init__(self, x):
        self.x = x

class Oops(Exception):
    pass

@shoal.remote
def shift(point):
    return Point(point.x + OFFSET)

@shoal.remote
def fail():
    raise Oops("here")

@shoal.remote
class Holder:
    def __init__(self, point):
        self.point = point

    def move(self, by):
        self.point = Point(self.point.x + by)
        return self.point

def plain(x):
    return x + OFFSET
"""

USES = """
context = shoal.init(num_cpus=1)
point = shoal.get(shift.remote(Point(1)))
print(type(point) is Point, point.x)
print(shoal.get(shoal.put(Point(5))).x, shoal.get(shoal.put(Point)) is not None)
try:
    shoal.get(fail.remote())
except Oops as error:
    print("caught", isinstance(error, shoal.TaskError))

holder = Holder.remote(Point(1))
print(shoal.get(holder.move.remote(2)).x, shoal.get(shoal.remote(plain).remote(1)))
shoal.shutdown()
"""

EXPECTED = ["True 11", "5 True", "caught True", "3 11"]


def run(*arguments: str, stdin: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(DEFINITIONS + USES)
    assert run(str(tmp_path / "script.py")) == EXPECTED


def test_a_traceback_shows_the_lines_of_a_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        DEFINITIONS
        + "shoal.init(num_cpus=1)\ntry:\n    shoal.get(fail.remote())\n"
        + "except Oops as error:\n    print(error.remote_traceback)\n"
    )
    lines = run(str(tmp_path / "script.py"))
    assert any(f'File "{tmp_path / "script.py"}", line 19, in fail' in line for line in lines), lines
    assert any('raise Oops("here")' in line for line in lines), lines


def test_a_script_with_a_main_guard(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(DEFINITIONS + "if __name__ == '__main__':\n" + textwrap.indent(USES, "    "))
    assert run(str(tmp_path / "script.py")) == EXPECTED


def test_a_program_on_stdin() -> None:
    assert run("-", stdin=DEFINITIONS + USES) == EXPECTED


def test_a_program_on_the_command_line() -> None:
    assert run("-c", DEFINITIONS + USES) == EXPECTED


def test_the_interactive_interpreter() -> None:
    # Blocks end at an empty line there, and must not contain one.
    lines = "\n".join(line for line in (DEFINITIONS + USES).splitlines() if line)
    blocks = "".join(
        line + "\n" if line.startswith((" ", "except")) else "\n" * (not line.startswith("except")) + line + "\n"
        for line in lines.splitlines()
    ).replace("@shoal.remote\n\n", "@shoal.remote\n")
    assert run("-i", "-q", stdin=blocks.replace("    def move", "    def move")) == EXPECTED


def test_a_module_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text(
        "import shoal\nclass Thing:\n    value = 3\ndef make():\n    return Thing()\nremote_make = shoal.remote(make)\n"
    )
    (tmp_path / "script.py").write_text(
        "import shoal, beside\n"
        "shoal.init(num_cpus=1)\n"
        "thing = shoal.get(beside.remote_make.remote())\n"
        "print(type(thing) is beside.Thing, thing.value)\n"
    )
    assert run(str(tmp_path / "script.py")) == ["True 3"]


def test_a_module_run_as_a_program(tmp_path: Path) -> None:
    package = tmp_path / "program"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(DEFINITIONS + USES)
    done = subprocess.run(
        [sys.executable, "-m", "program"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == EXPECTED, done.stderr

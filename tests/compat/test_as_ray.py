# SPDX-License-Identifier: Apache-2.0
"""`shoal as-ray`: a program that says `import ray` runs as it is, and finds no other Ray."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.cli.as_ray import command_of, environment

TIMEOUT_S = 60
REAL = "raise SystemExit('the installed Ray was imported')\n"

AsRay = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def as_ray(tmp_path: Path) -> AsRay:
    """Runs `shoal as-ray ARGUMENTS` in a folder with these files, where a package `ray` is in PYTHONPATH."""
    installed = tmp_path / "installed" / "ray"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text(REAL)

    def run(*arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
        for name, source in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return subprocess.run(
            [sys.executable, "-m", "shoal.cli", "as-ray", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed.parent)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run


def test_a_program_its_workers_and_what_it_starts_mean_shoal(as_ray: AsRay) -> None:
    done = as_ray(
        "prog.py",
        "--flag",
        "value",
        prog="""
            import subprocess
            import sys

            import ray
            from ray.util.queue import Queue

            from helper import doubled


            @ray.remote
            def inner(x):
                import ray as again
                from ray.exceptions import RayTaskError

                return again.__name__, again is ray, RayTaskError.__name__, ray.get(doubled.remote(x))


            @ray.remote
            class Starter:
                def start(self):
                    return subprocess.check_output([sys.executable, "-c", "import ray; print(ray.__name__)"], text=True)


            ray.init(num_cpus=2)
            print(sys.argv, __name__, Queue.__module__)
            print(ray.get(inner.remote(21)))
            print(ray.get(Starter.remote().start.remote()), end="")
        """,
        helper="""
            import ray
            import ray.util.queue


            @ray.remote
            def doubled(x):
                return 2 * x, ray.util.queue.__name__
        """,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "['prog.py', '--flag', 'value'] __main__ shoal.util.queue",
        "('shoal.compat.ray', True, 'TaskError', (42, 'shoal.compat.ray.util.queue'))",
        "shoal.compat.ray",
    ]
    assert done.returncode == 0


def test_a_worker_of_a_node_that_another_program_started(as_ray: AsRay, tmp_path: Path) -> None:
    source = """
        import sys

        import ray
        from task import name

        ray.init(address=sys.argv[1])
        print(ray.get(name.remote()))
    """
    host = """
        import subprocess
        import sys

        import shoal

        with shoal.init(num_cpus=1) as node:
            subprocess.run([sys.executable, "-m", "shoal.cli", "as-ray", "guest.py", node.address], check=True)
    """
    (tmp_path / "host.py").write_text(textwrap.dedent(host))
    as_ray("-c", "", guest=source, task="import ray\n\n\n@ray.remote\ndef name():\n    return ray.__name__\n")
    done = subprocess.run(
        [sys.executable, "host.py"], cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (done.stdout, done.stderr) == ("shoal.compat.ray\n", "")


def test_a_module_and_its_exit_code(as_ray: AsRay) -> None:
    done = as_ray("-m", "prog", "3", prog="import sys\n\nimport ray\n\nsys.exit(int(sys.argv[1]))")
    assert (done.returncode, done.stderr) == (3, "")


def test_what_is_absent_says_what_to_use(as_ray: AsRay) -> None:
    done = as_ray("prog.py", prog="from ray import tune")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: ray.tune is not in Shoal: run the trials as tasks, and take results with `wait` or "
        "`as_completed`"
    )


def test_a_sitecustomize_of_the_user_runs_too(as_ray: AsRay) -> None:
    done = as_ray("-c", "import ray; print(ray.__name__)", **{"installed/sitecustomize": "print('customized')"})
    # Once in the command `shoal`, once in the program.
    assert done.stdout.splitlines() == ["customized", "customized", "shoal.compat.ray"]


def test_libraries_find_it_installed(as_ray: AsRay) -> None:
    done = as_ray(
        "-c",
        "import sys; from importlib import metadata, util; print(metadata.version('ray'), 'ray' in sys.modules);"
        "print(util.find_spec('ray') is None, [d.version for d in metadata.distributions(name='ray')])",
    )
    assert (done.stdout.splitlines(), done.stderr) == (["2.60.0 False", "False ['2.60.0']"], "")


PYTHON_WITHOUT_SHOAL = """
    import subprocess
    import sys
    import venv

    import ray

    venv.EnvBuilder(symlinks=True).create("bare")
    for source in ("import importlib.metadata as m; print([*m.distributions()])", "import ray"):
        done = subprocess.run(["bare/bin/python", "-c", source], capture_output=True, text=True)
        print((done.stdout + done.stderr).splitlines()[-1])
"""


def test_a_python_without_shoal_that_it_starts_is_left_alone(as_ray: AsRay) -> None:
    done = as_ray("prog.py", prog=PYTHON_WITHOUT_SHOAL)
    assert (done.returncode, done.stderr) == (0, "")
    found, said = done.stdout.splitlines()
    assert found == "[]"
    assert "bare/bin/python has no Shoal: install it there" in said


def test_a_distribution_is_looked_for_where_it_is_asked_for(as_ray: AsRay) -> None:
    done = as_ray("-c", "import importlib.metadata as m; print([*m.distributions(path=['/nowhere'])])")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_binary_of_a_python_is_run(as_ray: AsRay) -> None:
    done = as_ray(sys.executable, "-c", "import ray; print(ray.__name__)")
    assert (done.stdout, done.stderr) == ("shoal.compat.ray\n", "")


def test_no_program_is_wrong_use(as_ray: AsRay) -> None:
    done = as_ray()
    assert done.returncode == 2
    assert "which program?" in done.stderr


def test_a_command_is_run_and_a_file_of_its_name_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(command_of(["env", "-i"])[0]).name == "env"
    (tmp_path / "env").touch()
    assert command_of(["env", "-i"])[0] == sys.executable
    assert command_of(["-m", "env"])[-2:] == ["-m", "env"]


def test_the_folder_is_first_in_the_module_path_and_there_once() -> None:
    once = environment({"PYTHONPATH": "/a::/b", "X": "y"})
    first, *rest = once["PYTHONPATH"].split(os.pathsep)
    assert sorted(path.name for path in Path(first).glob("*.py")) == ["__init__.py", "ray.py", "sitecustomize.py"]
    assert rest == ["/a", "/b"]
    assert environment(once) == once

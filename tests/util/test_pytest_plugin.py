# SPDX-License-Identifier: Apache-2.0
"""The fixtures for users' tests, in runs of pytest of their own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
from tests.processes import marked

MARK = "SHOAL_TEST_PLUGIN"
EXIT_TIMEOUT_S = 60.0
CONFTEST = 'pytest_plugins = ["shoal.util.pytest_plugin"]\n'


def run(folder: Path, test: str, conftest: str = "") -> str:
    """Run `test` with the plugin -> what pytest said; afterwards no process is left."""
    (folder / "conftest.py").write_text(CONFTEST + textwrap.dedent(conftest))
    (folder / "test_program.py").write_text(textwrap.dedent(test))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", MARK: str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    _, alive = psutil.wait_procs(marked(MARK, str(folder)), timeout=EXIT_TIMEOUT_S)
    assert not alive
    return done.stdout + done.stderr


def test_each_test_has_a_node_of_its_own(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        import shoal

        seen = set()

        def test_one(shoal_node):
            assert shoal_node is shoal
            assert shoal.cluster_resources()["CPU"] == 2
            seen.add(shoal.get_runtime_context().get_node_id())

        def test_two(shoal_node):
            seen.add(shoal.get_runtime_context().get_node_id())
            assert len(seen) == 2

        def test_none():
            assert not shoal.is_initialized()
        """,
    )
    assert "3 passed" in said, said


def test_tests_share_a_node(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        import shoal

        seen = set()

        def test_one(shoal_node_shared):
            seen.add(shoal.get_runtime_context().get_node_id())

        def test_two(shoal_node_shared):
            seen.add(shoal.get_runtime_context().get_node_id())
            assert len(seen) == 1

        def test_own(shoal_node):
            seen.add(shoal.get_runtime_context().get_node_id())
            assert len(seen) == 2

        def test_again(shoal_node_shared):
            assert shoal.get(shoal.put(1)) == 1
            assert shoal.get_runtime_context().get_node_id() not in seen
        """,
    )
    assert "4 passed" in said, said


def test_options_can_be_overridden(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        import pytest
        import shoal

        @pytest.fixture
        def shoal_node_options():
            return {"num_cpus": 1, "resources": {"special": 3}}

        def test_own(shoal_node):
            assert shoal.cluster_resources()["special"] == 3

        def test_shared(shoal_node_shared):
            assert shoal.cluster_resources()["CPU"] == 4
        """,
        """
        import pytest

        @pytest.fixture(scope="session")
        def shoal_node_shared_options():
            return {"num_cpus": 4}
        """,
    )
    assert "2 passed" in said, said


def test_the_shared_node_is_back_after_one_that_could_not_start(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        import pytest, shoal

        def test_shared(shoal_node_shared):
            assert shoal.cluster_resources()["CPU"] == 2

        class TestBad:
            @pytest.fixture
            def shoal_node_options(self):
                return {"num_cpus": -1}

            def test_own(self, shoal_node):
                pass

        def test_again(shoal_node_shared):
            assert shoal.is_initialized()
        """,
    )
    assert "2 passed, 1 error" in said, said


def test_a_test_may_end_the_node_or_fail(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        import shoal

        def test_shut_down(shoal_node):
            shoal.shutdown()

        def test_fail(shoal_node):
            raise ValueError

        def test_after(shoal_node):
            assert shoal.get(shoal.put(1)) == 1
        """,
    )
    assert "2 passed" in said, said
    assert "1 failed" in said, said

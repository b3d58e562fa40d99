# SPDX-License-Identifier: Apache-2.0
"""Requirements: lists, files, files that include files."""

import os
from pathlib import Path

import pytest

from shoal.runtime_env.requirements import install_of, normalized


def test_a_list_is_a_file_of_its_lines() -> None:
    install = install_of("pip", normalized("pip", ["numpy==2.0", "-i https://index.example"]), 5.0)
    assert install is not None
    assert install.requirements == "numpy==2.0\n-i https://index.example\n"
    assert (install.installer, install.options, install.is_checked, install.timeout_s) == ("pip", [], False, 5.0)
    assert install.folder == os.getcwd()


def test_an_empty_list_installs_nothing() -> None:
    assert install_of("uv", normalized("uv", []), 5.0) is None


def test_a_file_is_read_with_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "common.txt").write_text("# of all\nb\n-c pins.txt\n")
    (tmp_path / "more" / "pins.txt").write_text("b==1\n")
    (tmp_path / "requirements.txt").write_text("a>=1 \\\n  ; python_version > '3'\n\n-r more/common.txt\n")
    field = normalized("pip", str(tmp_path / "requirements.txt"))
    assert field["packages"] == ["a>=1    ; python_version > '3'", "b", f"-c {tmp_path}/more/pins.txt"]
    assert field["folder"] == str(tmp_path)


def test_files_that_include_one_another_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("-r r.txt\n")
    with pytest.raises(ValueError, match="without end"):
        normalized("pip", str(tmp_path / "r.txt"))


def test_a_dict_has_options_of_its_installer() -> None:
    field = normalized("uv", {"packages": ["a"], "uv_check": True, "uv_pip_install_options": ["--offline"]})
    install = install_of("uv", field, 1.0)
    assert install is not None
    assert (install.options, install.is_checked) == (["--offline"], True)


def test_a_local_file_that_changes_is_another_installation(tmp_path: Path) -> None:
    wheel = tmp_path / "a-1-py3-none-any.whl"
    wheel.write_bytes(b"1")
    field = normalized("pip", [f"a @ file://{wheel}"])
    first = install_of("pip", field, 1.0)
    wheel.write_bytes(b"12")
    assert install_of("pip", field, 1.0) != first


def test_a_description_names_the_packages_and_no_options() -> None:
    install = install_of("pip", normalized("pip", ["a", "--find-links /x", "b", "c", "d", "e"]), 1.0)
    assert install is not None
    assert install.describe() == "pip: a, b, c, d, ..."

# SPDX-License-Identifier: Apache-2.0
"""The public names: what `shoal` says it exports, it exports, once, in order."""

from importlib.metadata import version

import shoal


def test_all_is_sorted_and_has_no_duplicates() -> None:
    assert list(shoal.__all__) == sorted(set(shoal.__all__))


def test_every_exported_name_resolves() -> None:
    missing = [name for name in shoal.__all__ if not hasattr(shoal, name)]
    assert not missing


def test_version_is_that_of_the_distribution() -> None:
    assert shoal.__version__ == version("shoal")

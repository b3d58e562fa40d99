# SPDX-License-Identifier: Apache-2.0
"""Lists of packages: what `pip` and `uv` of a runtime environment may be, and the file that comes of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from shoal.errors import UnsupportedOptionError

if TYPE_CHECKING:
    from shoal.protocol.environment import Install

INSTALLERS = ("pip", "uv")
OPTIONS = {"pip": "pip_install_options", "uv": "uv_pip_install_options"}
CHECKS = {"pip": "pip_check", "uv": "uv_check"}
VERSIONS = {"pip": "pip_version", "uv": "uv_version"}
INCLUDES = ("-r", "--requirement")
CONSTRAINTS = ("-c", "--constraint")
MAX_DEPTH = 16  # of files that include one another


def normalized(installer: str, value: Any) -> dict[str, Any]:
    """A field `pip` or `uv` as a dict: `packages` (lines of a requirements file), its check, its options, `folder`.

    Reads the files that it names. Raises TypeError, ValueError, UnsupportedOptionError.
    """
    if not isinstance(value, Mapping):
        value = {"packages": value}
    known = ("packages", OPTIONS[installer], CHECKS[installer], "folder")
    for name in value:
        if name == VERSIONS[installer]:
            error = UnsupportedOptionError(
                f"{installer}: {name} is not supported: the installer that the node finds is used"
            )
            error.option = f"runtime_env.{installer}.{name}"
            raise error
        if name not in known:
            raise TypeError(f"{installer}: {name!r} is not known; the keys are {', '.join(known[:-1])}")
    packages, folder = value.get("packages"), os.getcwd()
    if isinstance(packages, (str, os.PathLike)):
        path = os.path.abspath(os.path.expanduser(os.fspath(packages)))
        if not os.path.isfile(path):
            raise ValueError(f"{installer}={os.fspath(packages)!r}: there is no such requirements file ({path})")
        folder = os.path.dirname(path)
        packages = list(_lines_of(path))
    elif isinstance(packages, Iterable) and not isinstance(packages, bytes):
        packages = list(packages)
    else:
        raise TypeError(f"{installer}: packages must be a list of requirements or the path of a file, not {packages!r}")
    options = value.get(OPTIONS[installer]) or []
    for what, texts in (("packages", packages), (OPTIONS[installer], options)):
        if isinstance(texts, str) or not all(isinstance(text, str) and "\n" not in text for text in texts):
            raise TypeError(f"{installer}: {what} must be a list of strings of one line each, not {texts!r}")
    is_checked = value.get(CHECKS[installer], False)
    if not isinstance(is_checked, bool):
        raise TypeError(f"{installer}: {CHECKS[installer]} must be True or False, not {is_checked!r}")
    return {
        "packages": packages,
        OPTIONS[installer]: list(options),
        CHECKS[installer]: is_checked,
        "folder": value.get("folder") or folder,
    }


def install_of(installer: str, field: Mapping[str, Any], timeout_s: float) -> Install | None:
    """What the installer is to do; None: nothing."""
    from shoal.protocol.environment import Install  # msgspec costs 20 ms, which `import shoal` should not

    packages, folder = field["packages"], field["folder"]
    if not packages:
        return None
    return Install(
        installer=installer,
        requirements="".join(f"{line}\n" for line in packages),
        options=list(field[OPTIONS[installer]]),
        folder=folder,
        is_checked=field[CHECKS[installer]],
        timeout_s=timeout_s,
        local=[state for line in packages for state in _states(folder, line)],
    )


def _lines_of(path: str, depth: int = 0) -> Iterator[str]:
    """The lines that matter, with included files in the place of what includes them, so that all is in one text."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{path}: requirements files include one another without end")
    folder = os.path.dirname(path)
    with open(path, encoding="utf-8") as file:
        for line in file.read().replace("\\\n", " ").splitlines():
            text = line.strip()
            option, _, rest = text.replace("=", " ", 1).partition(" ")
            if not text or text.startswith("#"):
                continue
            if option in INCLUDES and "://" not in rest:
                yield from _lines_of(os.path.join(folder, rest.strip()), depth + 1)
            elif option in CONSTRAINTS and "://" not in rest:
                yield f"-c {os.path.join(folder, rest.strip())}"
            else:
                yield text


def _states(folder: str, line: str) -> Iterator[str]:
    """What a line's local paths hold now, as far as a look can tell: a file that has changed is another environment."""
    for word in line.replace("file://", " ").replace("=", " ").split():
        path = os.path.join(folder, word.partition("[")[0])
        if os.sep in word and os.path.exists(path):
            files = [path] if os.path.isfile(path) else [os.path.join(at, n) for at, _, ns in os.walk(path) for n in ns]
            for each in sorted(files):
                status = os.stat(each, follow_symlinks=False)
                yield f"{each} {status.st_size} {status.st_mtime_ns}"

# SPDX-License-Identifier: Apache-2.0
"""Build of the one extension module, shoal._core._node: the C core and its Cython binding in one shared object.

Metadata and tool settings are in pyproject.toml; here is only what a compiler needs. Environment switches:

SHOAL_CHECK=0|1|2           assertion tier, -DSH_CHECK (default 0); from 1 on, code is built for a debugger
SHOAL_HOOKS=1               test build with a hook before every store to shared memory, -DSH_HOOKS
SHOAL_SANITIZE=address,...  build with these -fsanitize= instrumentations

setuptools compiles every source of an extension with the same flags, one after the other, each time. This build gives
our C its strict warnings (Cython's generated C could not pass them), runs one compiler per CPU, and skips an object
whose command and files (from the compiler's own -MMD list) are as they were.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

CORE = Path("src/core")
BIND = CORE / "bind"
LAYERS = ("base", "store", "queue", "graph", "node")

CHECK = int(os.environ.get("SHOAL_CHECK") or 0)
HOOKS = int(os.environ.get("SHOAL_HOOKS") or 0)
SANITIZE = os.environ.get("SHOAL_SANITIZE", "")
VARIANT = "-".join(["check" + str(CHECK), *["hooks"] * HOOKS, *filter(None, SANITIZE.split(","))])

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
# UBSan traps: beside ASan its own reports go to a terminal where nobody looks; ASan's, of the trap, go to a file.
SANITIZE_FLAGS = [f"-fsanitize={SANITIZE}", "-fsanitize-undefined-trap-on-error", "-Wno-tsan"] if SANITIZE else []
OPTIMIZE = ["-O1", "-fno-omit-frame-pointer"] if CHECK or SANITIZE else ["-O3"]
# Hidden symbols: calls inside the shared object need no PLT, and two loaded builds cannot capture each other's.
CFLAGS = ["-std=gnu11", "-g", *OPTIMIZE, "-fvisibility=hidden", "-pthread", *SANITIZE_FLAGS]


def core_sources() -> list[str]:
    """The C files of the core, lowest layer first, as paths relative to the project."""
    return [str(path) for layer in LAYERS for path in sorted((CORE / layer).glob("*.c"))]


def prerequisites(depfile: Path) -> Iterator[Path]:
    """The files that an object was made from, out of the make rule that the compiler wrote."""
    rule = depfile.read_text().replace("\\\n", " ")
    return (Path(name) for name in rule.split(":", 1)[1].split())


def is_current(obj: Path, command: str) -> bool:
    """Whether `obj` was made by this command and is not older than any file it was made from."""
    record, depfile = obj.with_suffix(".cmd"), obj.with_suffix(".d")
    if not (obj.exists() and record.exists() and depfile.exists()) or record.read_text() != command:
        return False
    made = obj.stat().st_mtime_ns
    return all(path.exists() and path.stat().st_mtime_ns <= made for path in prerequisites(depfile))


def compile_one(
    compile_always: Callable[..., None],
    obj: str,
    src: str,
    ext: str,
    cc_args: list[str],
    extra: list[str],
    pp: list[str],
) -> None:
    """Stands in for distutils' CCompiler._compile: same arguments, our warnings for our sources, no needless work."""
    warnings = WARNINGS if Path(src).is_relative_to(CORE) else []
    flags = [*extra, *warnings, "-MMD", "-MF", str(Path(obj).with_suffix(".d"))]
    command = " ".join([src, *cc_args, *flags, *pp])
    if is_current(Path(obj), command):
        return
    compile_always(obj, src, ext, cc_args, flags, pp)
    Path(obj).with_suffix(".cmd").write_text(command)


class BuildNode(build_ext):
    """build_ext with per-source flags, parallel and incremental compilation, and a build folder per variant."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_temp = str(Path(self.build_temp) / VARIANT)
        # Linking is cheap and only the link step can tell one variant's shared object from another's.
        self.force = True

    def build_extensions(self) -> None:
        compiler = self.compiler
        compile_always, compile_in_turn = compiler._compile, compiler.compile

        def compile_in_parallel(*args: Any, **kwargs: Any) -> list[str]:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                jobs: list[Future[None]] = []
                one = partial(compile_one, compile_always)
                compiler._compile = lambda *call: jobs.append(pool.submit(one, *call))
                objects: list[str] = compile_in_turn(*args, **kwargs)
                for job in jobs:
                    job.result()
            return objects

        compiler.compile = compile_in_parallel
        super().build_extensions()
        # Checkers look for a stub beside its module: here in the package, not in bind/ where it is written.
        for extension in self.extensions:
            module = Path(self.get_ext_fullpath(extension.name))
            self.copy_file(str(BIND / "_node.pyi"), str(module.with_name("_node.pyi")))


def extensions() -> list[Extension]:
    node = Extension(
        "shoal._core._node",
        sources=[str(BIND / "_node.pyx"), *core_sources()],
        include_dirs=[str(CORE)],
        define_macros=[("SH_CHECK", str(CHECK)), ("SH_HOOKS", str(HOOKS))],
        extra_compile_args=CFLAGS,
        extra_link_args=["-pthread", *SANITIZE_FLAGS],
    )
    return cythonize([node], include_path=[str(BIND)], build_dir="build/cython", language_level=3)


setup(
    packages=["shoal", *(f"shoal.{name}" for name in find_packages("src/pyfront")), "shoal._core"],
    package_dir={"shoal": "src/pyfront", "shoal._core": "src/core"},
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildNode},
)

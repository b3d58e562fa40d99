# SPDX-License-Identifier: Apache-2.0
"""A worker that dumps core takes its time to die: others go on meanwhile, and the store is not in the dump."""

import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest

import shoal

from .census import Census
from .limits import within

ARRAY_BYTES = 200 << 20
OTHERS_S = 1.0
TOLD_S = 20.0


@shoal.remote
def double(n: int) -> int:
    return 2 * n


def test_a_worker_that_dumps_core(census: Census, tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip("core files are forbidden here: ulimit -H -c")

    @shoal.remote(max_retries=0)
    def dump(array: "np.ndarray[tuple[int], np.dtype[np.uint8]]", folder: str) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.chdir(folder)
        private = np.full(150 << 20, 7, dtype=np.uint8)  # what makes the dump slow
        Path("ready").touch()
        assert array.sum() == 0
        assert private[0] == 7
        os.abort()

    array = shoal.put(np.zeros(ARRAY_BYTES, dtype=np.uint8))
    ref = dump.remote(array, str(tmp_path))
    while not (tmp_path / "ready").exists() and not shoal.wait([ref], timeout=0.01)[0]:
        pass
    while not shoal.wait([ref], timeout=0.01)[0]:
        started_s = time.monotonic()
        assert shoal.get([double.remote(n) for n in range(10)], timeout=within(TOLD_S)) == list(range(0, 20, 2))
        assert time.monotonic() - started_s < within(OTHERS_S)
    with pytest.raises(shoal.WorkerCrashedError, match="SIGABRT"):
        shoal.get(ref, timeout=within(TOLD_S))
    for core in tmp_path.glob("core*"):  # where the machine writes dumps to, if it does, is its affair
        assert core.stat().st_blocks * 512 < (150 << 20) + ARRAY_BYTES // 2

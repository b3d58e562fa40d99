# SPDX-License-Identifier: Apache-2.0
"""What the audit takes for odd, and that one look is not believed."""

from tests.util.state.scenes import Scene

from shoal._core import _node as core
from shoal.util.state.audit import audit


def test_a_scene_that_fits_together() -> None:
    scene = Scene()
    worker = scene.client()
    made = scene.object(scene.task(core.TASK_RUNNING, worker))
    scene.parked(1, made)
    scene.task(core.TASK_WAITING, awaits=made)
    assert audit(scene.snapshot(), scene.snapshot()) == []


def test_what_stands_in_two_looks_is_told() -> None:
    scene = Scene()
    scene.object(12345)
    worker = scene.client()
    scene.task(core.TASK_RUNNING, worker)
    del scene.clients[worker]
    odd = audit(scene.snapshot(), scene.snapshot())
    assert [line.rpartition(" is ")[2] for line in odd if line.startswith("object")] == ["a promise that no task makes"]
    assert [line for line in odd if f"in the hands of process {worker}, which is not there" in line]
    assert audit(scene.snapshot(), Scene().snapshot()) == []

# SPDX-License-Identifier: Apache-2.0
"""The values that `scheduling_strategy=` takes besides "DEFAULT" and "SPREAD" (docs/placement.md)."""

from __future__ import annotations

from shoal.task.strategies import (
    DoesNotExist,
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
    PlacementGroupSchedulingStrategy,
)

__all__ = [
    "DoesNotExist",
    "Exists",
    "In",
    "NodeAffinitySchedulingStrategy",
    "NodeLabelSchedulingStrategy",
    "NotIn",
    "PlacementGroupSchedulingStrategy",
]

# SPDX-License-Identifier: Apache-2.0
"""STUMPY: arrays are put into the store, and read there by tasks that run compiled code."""

import numpy as np
import ray
import stumpy

series = np.random.default_rng(1).standard_normal(2000).cumsum()
ray.init(num_cpus=2)
by_tasks = stumpy.stumped(ray, series, m=50)
ray.shutdown()
alone = stumpy.stump(series, m=50)
print("windows:", len(by_tasks))
print("the same as without Ray:", np.allclose(by_tasks.astype(float), alone.astype(float)))

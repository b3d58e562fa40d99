# SPDX-License-Identifier: Apache-2.0
"""pymoo: a population is evaluated by tasks, one for each individual; the front is the one that a loop finds."""

import numpy as np
import ray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from pymoo.parallelization.ray import RayParallelization


class Trade(ElementwiseProblem):  # type: ignore[misc] # pymoo is not there for a type checker
    """Two goals that pull apart, and a constraint."""

    def __init__(self, **options: object) -> None:
        super().__init__(n_var=2, n_obj=2, n_ieq_constr=1, xl=np.array([-2, -2]), xu=np.array([2, 2]), **options)

    def _evaluate(self, x: np.ndarray, out: dict[str, object], *args: object, **kwargs: object) -> None:
        out["F"] = [x[0] ** 2 + x[1] ** 2, (x[0] - 1) ** 2 + x[1] ** 2]
        out["G"] = [x[0] * (1 - x[0]) - 0.2]


def front(**options: object) -> np.ndarray:
    found: np.ndarray = minimize(Trade(**options), NSGA2(pop_size=20), ("n_gen", 10), seed=1).F
    return found


ray.init(num_cpus=2)
by_tasks = front(elementwise_runner=RayParallelization(job_resources={"num_cpus": 1}))
ray.shutdown()
print("individuals on the front:", len(by_tasks))
print("the same as without Ray:", np.array_equal(by_tasks, front()))

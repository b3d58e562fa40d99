# SPDX-License-Identifier: Apache-2.0
"""emcee: the likelihoods of an ensemble of walkers are computed by `ray.util.multiprocessing.Pool`."""

import emcee
import numpy as np
import ray
from ray.util.multiprocessing import Pool


def log_likelihood(x: np.ndarray) -> float:
    return float(-0.5 * np.sum(x**2))


def chain(pool: object) -> np.ndarray:
    np.random.seed(1)
    start = np.random.randn(16, 3)
    sampler = emcee.EnsembleSampler(16, 3, log_likelihood, pool=pool)
    sampler.random_state = np.random.RandomState(1).get_state()
    sampler.run_mcmc(start, 50)
    found: np.ndarray = sampler.get_chain()
    return found


ray.init(num_cpus=2)
with Pool(2) as pool:
    by_actors = chain(pool)
ray.shutdown()
print("samples:", by_actors.shape)
print("the same as without Ray:", np.array_equal(by_actors, chain(None)))

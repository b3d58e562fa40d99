# SPDX-License-Identifier: Apache-2.0
"""sktime: the folds of a cross-validation are tasks, collected by `ray.wait`; it connects and shuts down by itself."""

import pandas as pd
import ray
from sktime.datasets import load_airline
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.naive import NaiveForecaster
from sktime.split import ExpandingWindowSplitter


def scores(**options: object) -> pd.Series:
    splitter = ExpandingWindowSplitter(fh=[1, 2, 3], initial_window=72, step_length=12)
    found = evaluate(NaiveForecaster(strategy="last", sp=12), splitter, load_airline(), **options)
    return found["test_MeanAbsolutePercentageError"]


by_tasks = scores(backend="ray", backend_params={"ray_remote_args": {"num_cpus": 2}})
print("folds:", len(by_tasks))
print("the same as without Ray:", by_tasks.equals(scores()))
print("shut down:", not ray.is_initialized())

# SPDX-License-Identifier: Apache-2.0
"""scikit-learn: the fits of a grid search are tasks, by way of joblib's backend "ray"."""

import joblib
import ray
from ray.util.joblib import register_ray
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

digits = load_digits()
data, target = digits.data[:500], digits.target[:500]
grid = {"C": [1.0, 10.0], "gamma": [0.001, 0.01]}


def search(n_jobs: int | None) -> GridSearchCV:
    return GridSearchCV(SVC(), grid, cv=3, n_jobs=n_jobs).fit(data, target)


register_ray()
ray.init(num_cpus=2)
with joblib.parallel_config(backend="ray"):
    by_tasks = search(n_jobs=-1)
ray.shutdown()
alone = search(n_jobs=None)
print("best:", by_tasks.best_params_)
print(
    "the same as without Ray:", (by_tasks.cv_results_["mean_test_score"] == alone.cv_results_["mean_test_score"]).all()
)

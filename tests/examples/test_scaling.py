# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rl.scaling import RunningScale


@given(st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=6), st.integers(0, 1000))
def test_equals_the_moments_of_all_rows_however_they_were_split(sizes: list[int], seed: int) -> None:
    rows = 3.0 + 2.0 * np.random.default_rng(seed).standard_normal((sum(sizes), 2))
    scale = RunningScale.create(2)
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        scale.include(part)
    np.testing.assert_allclose(scale.mean, rows.mean(axis=0))
    np.testing.assert_allclose(scale.variance, rows.var(axis=0), atol=1e-12)


def test_a_component_that_never_varies_is_not_magnified() -> None:
    scale = RunningScale.create(2)
    scale.include(np.array([[7.0, 0.0], [7.0, 1.0]]))
    np.testing.assert_allclose(scale.deviation, [1.0, 0.5])

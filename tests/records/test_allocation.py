"""How further repeats are shared between two doses: the fewest that do, and in numbers whose level is not low."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from fly64dask.records.limits import reached_level
from fly64dask.records.rounds import fair_number, shared_repeats

N = st.integers(1, 12)


def variance(numbers, place):
    return (1 - place) ** 2 / numbers[0] + place**2 / numbers[1]


@settings(max_examples=60)
@given(N, N, st.floats(0, 1), st.floats(0.75, 0.99))
def test_no_other_division_of_fewer_repeats_is_as_narrow(lower, upper, place, shrink):
    found = shared_repeats((lower, upper), place, shrink)
    wanted = shrink**2 * variance((lower, upper), place)
    fewest = next(
        n
        for n in range(lower + upper, 10_000)
        if any(variance((low, n - low), place) <= wanted for low in range(lower, n - upper + 1))
    )
    most = 2 * (lower + upper)
    # Whole numbers nearest to the best shares may be one off the best whole numbers.
    assert min(fewest, most) <= sum(found) <= min(fewest + 1, most)


@given(N, N, st.floats(0, 1))
def test_repeats_at_most_double_where_an_interval_is_open(lower, upper, place):
    found = shared_repeats((lower, upper), place, shrink=0.0)
    assert sum(found) == 2 * (lower + upper)
    assert found[0] >= lower
    assert found[1] >= upper


@pytest.mark.parametrize(("share", "numbers"), [(0.5, {5, 7, 9}), (0.8, {9})])
def test_the_level_of_a_fair_number_is_at_the_wanted_share_of_what_is_drawn(share, numbers):
    """Of numbers drawn evenly between 0 and 1 the level is the share in the mean, to the error of 20000 draws."""
    rng = np.random.default_rng(0)
    for n in range(5, 10):
        fair = fair_number(n, share)
        assert fair in numbers
        levels = [reached_level(drawn, share) for drawn in rng.random((20_000, fair)).tolist()]
        assert np.mean(levels) == pytest.approx(share, abs=0.006)

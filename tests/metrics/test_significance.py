"""Tests of ratios against worked values of the literature, and how often they call chance a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fly64dask.metrics import compare_repeats, holm

# Hours of sleep gained with two drugs by ten patients (Student 1908, Biometrika 6, 1, as in R's data set `sleep`).
DRUG_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
DRUG_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_repeats_of_the_same_photons_are_compared_pair_by_pair_as_student_did():
    found = compare_repeats(np.exp(DRUG_1).tolist(), np.exp(DRUG_2).tolist(), paired=True)
    assert (found.test, found.p) == ("paired_t", pytest.approx(0.002833, rel=1e-3))
    ends = [math.log(end) for end in (found.ratio, found.low, found.high)]
    assert ends == pytest.approx([1.58, 0.7001142, 2.4598858], rel=1e-5)


def test_repeats_of_other_photons_are_compared_as_by_welch():
    found = compare_repeats(np.exp(DRUG_1).tolist(), np.exp(DRUG_2).tolist(), paired=False)
    assert (found.test, found.p) == ("welch_t", pytest.approx(0.07939, rel=1e-3))
    assert [math.log(end) for end in (found.low, found.high)] == pytest.approx([-0.2054832, 3.3654832], rel=1e-5)


def test_where_repeats_failed_their_number_is_compared():
    """The lady who tastes tea: three of four cups against one of four (Fisher 1935)."""
    found = compare_repeats([math.inf] * 3 + [0.1], [math.inf] + [0.1] * 3, paired=True)
    assert (found.test, found.ratio, found.p) == ("fisher_exact", None, pytest.approx(0.4857, abs=1e-4))


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ([0.1], [0.2], "one repeat tells no spread"),
        ([0.1, 0.2], [0.2, 0.4], "the repeats do not differ"),
        ([], [0.2], "nothing measured"),
        ([0.0, 0.1], [0.2, 0.3], "a number is zero, and has no ratio"),
    ],
)
def test_nothing_is_said_of_groups_that_tell_no_spread(first, second, why):
    found = compare_repeats(first, second, paired=True)
    assert (found.p, found.why) == (None, why)


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # the example of Wikipedia's "Holm-Bonferroni method"
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),  # p.adjust(1:5 / 100, "holm") of R
        ([0.6, 0.7], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm_corrects_as_worked_examples_do(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected)


@pytest.mark.parametrize("paired", [True, False])
def test_chance_alone_is_seldom_called_a_difference(paired):
    """Six comparisons at a time of three repeats that differ by chance: any false call in at most 5 of 100 families.

    Of 200 families 10 are expected then, with a standard deviation of 3.
    """
    rng = np.random.default_rng(0)
    n_false = 0
    for _ in range(200):
        groups = np.exp(0.05 * rng.standard_normal((4, 3)))
        pairs = [(a, b) for a in range(4) for b in range(a)]
        found = [compare_repeats(groups[a].tolist(), groups[b].tolist(), paired=paired).p or 0.0 for a, b in pairs]
        n_false += min(holm(found)) < 0.05
    assert n_false <= 19

"""Views that are no spacings: every k-th exposure, a random share, the first ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from fly64dask.base import NotSelectableError
from fly64dask.scan import expected_exposures, rule_and_advice, select
from fly64dask.study import FirstView, FractionView, SpacingView, StrideView, View

SIZES = st.integers(1, 300)


def scan_of(n_exposures: int) -> np.ndarray:
    return np.random.default_rng(n_exposures).uniform(0, 100, (n_exposures, 2))


def stride(every: int, offset: int = 0) -> StrideView:
    return StrideView(name="view", rule="stride", every=every, offset=offset)


def share(fraction: float, seed: int = 0) -> FractionView:
    return FractionView(name="view", rule="fraction", fraction=fraction, seed=seed)


def first(n_exposures: int) -> FirstView:
    return FirstView(name="view", rule="first", n_exposures=n_exposures)


@given(SIZES, st.integers(2, 20), st.data())
def test_select_stride_keeps_every_kth_exposure_from_its_offset_on(n_exposures, every, data):
    offset = data.draw(st.integers(0, min(every, n_exposures) - 1))
    kept = select(scan_of(n_exposures), stride(every, offset)).kept
    assert kept.tolist() == [i for i in range(n_exposures) if i % every == offset]


@given(SIZES, st.integers(2, 20))
def test_strides_of_all_offsets_share_the_split_out(n_exposures, every):
    parts = [select(scan_of(n_exposures), stride(every, k)).kept for k in range(min(every, n_exposures))]
    assert sorted(np.concatenate(parts)) == list(range(n_exposures))


@given(SIZES, st.floats(0.01, 0.99), st.integers(0, 2**32 - 1))
def test_select_fraction_keeps_the_nearest_whole_number_of_distinct_exposures(n_exposures, fraction, seed):
    if fraction * n_exposures <= 0.5:
        with pytest.raises(NotSelectableError, match="keeps none"):
            select(scan_of(n_exposures), share(fraction, seed))
        return
    kept = select(scan_of(n_exposures), share(fraction, seed)).kept
    assert abs(len(kept) - fraction * n_exposures) <= 0.5
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert set(kept.tolist()) <= set(range(n_exposures))


@given(st.integers(20, 300), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_select_fraction_of_one_seed_is_a_part_of_any_larger_one(n_exposures, one, other):
    smaller, larger = (set(select(scan_of(n_exposures), share(f)).kept.tolist()) for f in sorted((one, other)))
    assert smaller <= larger


def test_select_fraction_depends_on_its_seed():
    draws = [select(scan_of(200), share(0.3, seed)).kept.tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_select_fraction_favours_no_exposure():
    # 400 draws of 3 in 10: each exposure is kept 120 times, sigma = sqrt(400 0.3 0.7) = 9.2.
    counts = np.zeros(10)
    for seed in range(400):
        counts[select(scan_of(10), share(0.3, seed)).kept] += 1
    assert np.abs(counts - 120).max() < 4.5 * 9.2


@given(SIZES, SIZES)
def test_select_first_keeps_the_first_or_refuses(n_exposures, wanted):
    if wanted > n_exposures:
        with pytest.raises(NotSelectableError, match=f"first {wanted} exposures, the split has {n_exposures}"):
            select(scan_of(n_exposures), first(wanted))
    else:
        assert select(scan_of(n_exposures), first(wanted)).kept.tolist() == list(range(wanted))


@pytest.mark.parametrize(
    ("view", "strategy", "n_kept"), [(stride(4, 1), "stride", 10), (share(0.3), "fraction", 12), (first(7), "first", 7)]
)
def test_metadata_of_a_view_without_a_spacing_holds_what_applies_alone(view, strategy, n_kept):
    metadata = select(scan_of(40), view).metadata
    assert metadata.model_dump(exclude_none=True) == {
        "overlap_view": "view",
        "selection_strategy": strategy,
        "n_accepted": n_kept,
        "n_rejected": 40 - n_kept,
        "acceptance_rate": n_kept / 40,
        "source": "scan_positions",
    }


@pytest.mark.parametrize("view", [stride(4, 1), share(0.3), first(7)])
def test_expected_exposures_of_a_view_without_a_spacing_are_what_it_keeps(view):
    assert expected_exposures(view, 40, area_px2=1e4) == len(select(scan_of(40), view).kept)


def test_select_stride_refuses_an_offset_beyond_the_split():
    with pytest.raises(NotSelectableError, match="keeps none of 3 exposures"):
        select(scan_of(3), stride(9, 5))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: stride(4, 4), "offset 4 is not below every = 4"),
        (lambda: stride(1), "greater than or equal to 2"),
        (lambda: share(0.0), "greater than 0"),
        (lambda: share(1.0), "less than 1"),
        (lambda: first(0), "greater than or equal to 1"),
    ],
)
def test_views_refuse_values_that_keep_all_or_nothing(make, named):
    with pytest.raises(ValidationError, match=named):
        make()


def test_rule_and_advice_speaks_of_spacings_for_views_with_a_spacing_alone():
    spaced: View = SpacingView(name="view", rule="min_spacing", threshold_px=5.0)
    told = [rule_and_advice(select(scan_of(40), view).metadata) for view in (spaced, stride(4))]
    assert told == [
        ("at >= 5 px", "lower the spacing threshold"),
        ("by rule stride", "change the view so that it keeps more"),
    ]

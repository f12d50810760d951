"""Direct and greedy selection, against their O(n^2) definitions and the study's oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from fly64dask.base import NotSelectableError
from fly64dask.scan import keep_isolated, keep_spaced, select, split_indices
from fly64dask.study import BaselineView, SpacingView, SplitRule

# Whole numbers bring ties, repeats and distances that equal the threshold exactly (3-4-5).
GRID = arrays(np.float64, st.tuples(st.integers(1, 60), st.just(2)), elements=st.integers(0, 15).map(float))
REAL = arrays(np.float64, st.tuples(st.integers(1, 60), st.just(2)), elements=st.floats(0, 100))
SCANS = st.one_of(GRID, REAL)


def spacing(threshold_px: float) -> SpacingView:
    return SpacingView(name="view", rule="min_spacing", threshold_px=threshold_px)


def greedy_by_definition(positions, threshold):
    kept = []
    for i in sorted(range(len(positions)), key=lambda i: (positions[i][0], positions[i][1])):
        if all(np.hypot(*(positions[i] - positions[j])) >= threshold for j in kept):
            kept.append(i)
    return sorted(kept)


def direct_by_definition(positions, threshold):
    return [
        i
        for i, p in enumerate(positions)
        if all(np.hypot(*(p - q)) >= threshold for j, q in enumerate(positions) if j != i)
    ]


@given(SCANS, st.sampled_from([0.5, 1.0, 2.0, 5.0, 7.3, 200.0]))
def test_keep_spaced_equals_the_quadratic_definition(positions, threshold):
    found, wanted = keep_spaced(positions, threshold).tolist(), greedy_by_definition(positions, threshold)
    # Of positions that coincide either may stand for the other.
    assert positions[found].tolist() == positions[wanted].tolist()


@given(SCANS, st.sampled_from([0.5, 1.0, 2.0, 5.0, 7.3, 200.0]))
def test_keep_isolated_equals_the_quadratic_definition(positions, threshold):
    assert keep_isolated(positions, threshold).tolist() == direct_by_definition(positions, threshold)


@pytest.mark.parametrize("spacing_px", [0.1, 0.3, 7.3, 1 / 3])
def test_keep_isolated_equals_the_quadratic_definition_where_rounding_decides(spacing_px):
    # Neighbours on a hexagonal lattice lie within a rounding of the threshold, some below and some above.
    rows, columns = np.mgrid[:12, :12]
    lattice = np.stack([rows * math.sqrt(0.75), columns + rows / 2], axis=-1).reshape(-1, 2) * spacing_px
    kept = direct_by_definition(lattice, spacing_px)
    assert 0 < len(kept) < 144
    assert keep_isolated(lattice, spacing_px).tolist() == kept


@given(SCANS, st.floats(0.1, 50))
def test_keep_spaced_leaves_every_position_within_reach_of_a_kept_one(positions, threshold):
    kept = positions[keep_spaced(positions, threshold)]
    nearest = np.linalg.norm(positions[:, None] - kept[None], axis=-1).min(axis=1)
    assert (nearest < threshold).all()


@pytest.mark.parametrize(("fraction", "n_kept", "threshold"), [(0.7, 42, 38.4), (0.2, 9, 102.4)])
def test_select_of_canonical_train(canonical_positions_px, fraction, n_kept, threshold):
    train = canonical_positions_px[split_indices(canonical_positions_px, SplitRule(), "train")]
    view = SpacingView(name="v", rule="min_spacing", array_overlap=fraction, patch_size_px=128)
    found = select(train, view).metadata
    assert (found.n_accepted, found.spacing_threshold, found.selection_strategy) == (n_kept, threshold, "greedy")


def test_keep_isolated_keeps_nothing_of_canonical_train(canonical_positions_px):
    train = canonical_positions_px[split_indices(canonical_positions_px, SplitRule(), "train")]
    assert [len(keep_isolated(train, threshold)) for threshold in (38.4, 102.4)] == [0, 0]


def test_select_of_the_recorded_toy_case():
    positions = np.random.default_rng(0).uniform(0, 60, (8, 2))
    found = select(positions, spacing(102.4)).metadata
    assert found.model_dump() == {
        "overlap_view": "view",
        "spacing_threshold": 102.4,
        "n_accepted": 1,
        "n_rejected": 7,
        "acceptance_rate": 0.125,
        "selection_strategy": "greedy",
        "geometry_acceptance_bound": pytest.approx(
            min(0.10, float(np.prod(np.ptp(positions, axis=0))) / (8 * math.pi * 51.2**2))
        ),
        "effective_min_acceptance": pytest.approx(max(0.0005, 0.8 * found.geometry_acceptance_bound)),
        "source": "scan_positions",
    }


def test_select_takes_direct_when_it_keeps_enough():
    lattice = np.stack(np.meshgrid(np.arange(0, 50, 10.0), np.arange(0, 50, 10.0)), axis=-1).reshape(-1, 2)
    found = select(lattice, spacing(10.0))
    assert found.metadata.selection_strategy == "direct"
    assert len(found.kept) == 25


def test_select_of_a_baseline_keeps_all_without_metadata():
    found = select(np.zeros((5, 2)), BaselineView(name="all", rule="baseline"))
    assert found.metadata is None
    assert found.kept.tolist() == [0, 1, 2, 3, 4]


def test_select_refuses_with_both_rates_when_neither_strategy_keeps_enough():
    # 400 positions on one spot and a few far away: the box allows far more than can be kept.
    crowd = np.vstack([np.zeros((400, 2)), [[0.0, 900.0], [900.0, 0.0], [900.0, 900.0]]])
    with pytest.raises(NotSelectableError) as caught:
        select(crowd, spacing(20.0))
    message = str(caught.value)
    assert f"direct keeps {3 / 403:.6f}" in message
    assert f"greedy {4 / 403:.6f}" in message
    assert "20 px" in message

"""Splits, spacing and measured overlap, against the study's oracles and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist

from fly64dask.base import InputError
from fly64dask.scan import (
    bounding_box_area_px2,
    checked_positions,
    group_overlap,
    image_overlap,
    split_boundary_px,
    split_indices,
)
from fly64dask.scan.positions import disc_overlap, patch_corners_px
from fly64dask.study import SplitRule

RULE = SplitRule()
MEASURE = {"n_neighbours": 6, "diameter_px": 38.4}
POSITIONS = arrays(np.float64, st.tuples(st.integers(2, 40), st.just(2)), elements=st.floats(-50, 50, width=32))


@pytest.fixture(scope="module")
def train(canonical_positions_px):
    return canonical_positions_px[split_indices(canonical_positions_px, RULE, "train")]


def test_split_boundary_px_of_canonical_scan(canonical_positions_px):
    assert split_boundary_px(canonical_positions_px, RULE) == pytest.approx(232.01387, abs=5e-6)


def test_split_indices_of_canonical_scan_counts_5088_train(canonical_positions_px):
    assert len(split_indices(canonical_positions_px, RULE, "train")) == 5088


def test_split_of_canonical_train_has_the_distances_of_the_studys_record(train):
    distances = pdist(train)
    statistics = [float(f(distances)) for f in (np.min, np.max, np.mean, np.median)]
    assert [round(value, 2) for value in statistics] == [0.06, 372.78, 134.49, 125.41]


def test_bounding_box_area_px2_of_canonical_train(train):
    assert bounding_box_area_px2(train) == pytest.approx(56398.7, abs=0.05)


def test_image_overlap_of_canonical_train(train):
    assert image_overlap(train, **MEASURE) == pytest.approx(0.89076, abs=5e-6)


def test_group_overlap_of_canonical_train(train):
    assert group_overlap(train, diameter_px=38.4) == pytest.approx(0.26618, abs=5e-6)


@given(POSITIONS, st.sampled_from("yx"), st.floats(0.05, 0.95))
def test_split_indices_partition_the_scan(positions, axis, fraction):
    rule = SplitRule(axis=axis, fraction=fraction)
    both = np.concatenate([split_indices(positions, rule, split) for split in ("train", "test")])
    assert sorted(both) == list(range(len(positions)))


def test_split_indices_puts_the_boundary_itself_into_test():
    positions = np.array([[0.0, 0.0], [5.0, 0.0], [10.0, 0.0]])
    assert split_indices(positions, RULE, "test").tolist() == [1, 2]


def test_split_indices_of_the_whole_field_are_all_exposures():
    assert split_indices(np.zeros((4, 2)), "none", "whole").tolist() == [0, 1, 2, 3]


def test_split_indices_cuts_along_x_when_asked():
    positions = np.array([[0.0, 9.0], [5.0, 0.0], [10.0, 1.0]])
    assert split_indices(positions, SplitRule(axis="x"), "train").tolist() == [1, 2]


@pytest.mark.parametrize(("distance", "expected"), [(0.0, 1.0), (1.0, 0.3910022189557706), (2.0, 0.0), (7.0, 0.0)])
def test_disc_overlap_of_unit_discs(distance, expected):
    # d = R: 2/3 - sqrt(3) / (2 pi), from the lens of two unit circles through each other's centres.
    assert disc_overlap(np.array(distance), 2.0) == pytest.approx(expected, abs=1e-12)


@given(POSITIONS)
def test_group_overlap_equals_its_definition(positions):
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    means = []
    for i, row in enumerate(distances):
        near = [d for j, d in enumerate(row) if j != i and d < 20.0]
        means.append(np.mean([disc_overlap(np.array(d), 20.0) for d in near]) if near else 0.0)
    assert group_overlap(positions, diameter_px=20.0) == pytest.approx(np.mean(means), abs=1e-9)


def test_image_overlap_counts_a_repeated_position_once():
    positions = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 100.0]])
    assert image_overlap(positions, **MEASURE) == 0.0


@pytest.mark.parametrize("positions", [np.array([[3.0, 4.0]]), np.array([[3.0, 4.0], [3.0, 4.0]])])
def test_image_overlap_is_zero_for_one_distinct_position(positions):
    assert image_overlap(positions, **MEASURE) == 0.0


@pytest.mark.parametrize(
    ("positions", "named"),
    [
        (np.zeros((0, 2)), "(0, 2)"),
        (np.zeros((4, 3)), "(4, 3)"),
        (np.array([[0.0, 1.0], [np.nan, 2.0]]), "position 1"),
        (np.array([[np.inf, 1.0]]), "position 0"),
    ],
)
def test_checked_positions_refuses_with_what_it_found(positions, named):
    with pytest.raises(InputError) as caught:
        checked_positions(positions, origin="scan.npz")
    assert "scan.npz" in str(caught.value)
    assert named in str(caught.value)


def test_patch_corners_px_are_where_numpy_indexing_cuts_the_patch_out():
    # A probe of 4 x 6 px, centred on its pixel (2, 3), at (10, 20) in an array that begins at (5, 9).
    corners = patch_corners_px(np.array([[10.0, 20.0], [10.4, 20.6]]), (4, 6), (5, 9))
    assert corners.tolist() == [[3, 8], [3, 9]]

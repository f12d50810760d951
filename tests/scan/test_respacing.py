"""The largest spacing that leaves a scan for the engine: equal to trying every threshold at which anything changes."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from fly64dask.base import NotSelectableError
from fly64dask.scan import respace, select
from fly64dask.study import SpacingView

TOY = Path(__file__).resolve().parents[2] / "data" / "toy.toml"
# Whole numbers bring ties and repeats; clumps bring the threshold at which direct makes way for greedy.
GRID = arrays(np.float64, st.tuples(st.integers(2, 14), st.just(2)), elements=st.integers(0, 12).map(float))
REAL = arrays(np.float64, st.tuples(st.integers(2, 14), st.just(2)), elements=st.floats(0, 50))
LINE = arrays(np.float64, st.integers(2, 14), elements=st.floats(0, 50)).map(
    lambda x: np.stack([np.arange(len(x)) % 3 * 0.6, x], axis=1)
)
FAR = arrays(np.float64, st.tuples(st.integers(1, 3), st.just(2)), elements=st.floats(200, 900))
CLUMP = st.builds(lambda near, far: np.vstack([near, far]), st.one_of(GRID, REAL), FAR)
SCANS = st.one_of(GRID, REAL, LINE, CLUMP)


def spacing(threshold_px: float) -> SpacingView:
    return SpacingView(name="view", rule="min_spacing", threshold_px=threshold_px)


def kept_at(positions, threshold_px):
    try:
        return positions[select(positions, spacing(threshold_px)).kept]
    except NotSelectableError:
        return positions[:0]


def suits(positions, n_min):
    return len(positions) >= n_min and min(np.ptp(positions, axis=0)) >= 1.0


def found_by_respace(positions, own_px, n_min):
    """The threshold; its own where that suits, None if there is none."""
    try:
        return respace(positions, spacing(own_px), n_min=n_min).metadata.spacing_threshold
    except NotSelectableError as error:
        return own_px if "its own" in str(error) else None


def every_change(positions, own_px):
    """Thresholds at which the selection can change: distances, and where its rule asks for k of n exposures."""
    n = len(positions)
    area = float(np.prod(np.ptp(positions, axis=0)))
    distances = {math.hypot(*(p - q)) for i, p in enumerate(positions) for q in positions[:i]}
    # needed = 0.8 area / (n pi (S/2)^2) = k / n
    rules = {2 * math.sqrt(0.8 * area / (math.pi * k)) for k in range(1, n + 1)}
    near = set()
    for centre in distances | rules:
        at = [centre, centre]
        for _ in range(8):
            near |= set(at)
            at = [math.nextafter(at[0], 0), math.nextafter(at[1], math.inf)]
    return sorted({t for t in near | {own_px} if 1e-6 <= t <= own_px}, reverse=True)


def by_trying_all(positions, own_px, n_min):
    return next((t for t in every_change(positions, own_px) if suits(kept_at(positions, t), n_min)), None)


# Corners of a square, two of them crowded: greedy keeps all four, direct the two isolated ones. These are 2/40 of
# the split, which the rule calls enough at 100 px, but no more below 2 sqrt(0.8 100^2 / (2 pi)) = 71.4 px.
CORNERS = np.repeat([[0.0, 0.0], [0.0, 100.0], [100.0, 0.0], [100.0, 100.0]], [19, 1, 1, 19], axis=0)

# The tree that finds the nearest neighbour rounds 59.745... px one way, hypot the other.
ROUNDED = np.array([[1.52147644, 43.0], [0.0, 43.0], [43.0, 0.0], [200.0, 200.0]])


@settings(max_examples=400, deadline=None)
@given(SCANS, st.sampled_from([2.0, 7.3, 15.0, 60.0, 300.0, 1000.0]), st.integers(1, 5))
@example(CORNERS, 100.0, 3)
@example(CORNERS, 71.0, 3)
@example(ROUNDED, 60.0, 1)
def test_respace_equals_trying_every_threshold(positions, own_px, n_min):
    wanted = by_trying_all(positions, own_px, n_min)
    assert found_by_respace(positions, own_px, n_min) == wanted


@settings(max_examples=200, deadline=None)
@given(SCANS, st.floats(2, 300), st.integers(1, 5), st.floats(0, 1))
def test_respace_leaves_no_larger_threshold_that_suits(positions, own_px, n_min, fraction):
    found = found_by_respace(positions, own_px, n_min) or 0.0
    tried = max(1e-6, found + fraction * (own_px - found))
    assert tried <= found or not suits(kept_at(positions, tried), n_min)


@pytest.mark.parametrize("split", [slice(0, 8), slice(8, 16)])
def test_respace_of_the_recorded_toy_case(split):
    positions = np.array(tomllib.loads(TOY.read_text())["source"]["scan"]["positions_px"])[split]
    found = respace(positions, spacing(102.4), n_min=4)
    # (40, 40) and (80, 42), the first and the sixth: hypot(40, 2) px.
    assert found.metadata.spacing_threshold == math.hypot(40, 2)
    assert found.kept.tolist() == [0, 1, 5, 7]


def test_respace_finds_greedy_where_direct_keeps_too_few_for_us_and_then_for_its_rule():
    found = respace(CORNERS, spacing(100.0), n_min=3).metadata
    assert found.spacing_threshold == pytest.approx(2 * math.sqrt(0.8 * 100**2 / (2 * math.pi)), rel=1e-12)
    assert (found.selection_strategy, found.n_accepted) == ("greedy", 4)


@pytest.mark.parametrize(
    ("positions", "own_px", "n_min", "said"),
    [
        (np.stack([np.zeros(9), np.arange(9.0)], axis=1), 60.0, 2, r"all 9 exposures .* span 0 px in y and 8 px in x"),
        (np.array([[0.0, 0.0], [9.0, 9.0]]), 60.0, 4, "all 2 exposures of the split"),
        (np.array([[0.0, 0.0], [9.0, 9.0], [0.0, 9.0]]), 2.0, 3, "give --min-exposures above 3"),
        (np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [9.0, 9.0]]), 60.0, 3, "no threshold from 60 px down keeps 3"),
    ],
)
def test_respace_says_why_no_threshold_helps(positions, own_px, n_min, said):
    with pytest.raises(NotSelectableError, match=said):
        respace(positions, spacing(own_px), n_min=n_min)

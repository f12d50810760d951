"""Positions of each kind of scan, against their definitions and densities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError
from scipy.spatial import cKDTree

from fly64dask.simulation import draw_positions
from fly64dask.study import ConcentricScan, FermatSpiralScan, ListedScan, RasterScan, UniformScan

STEPS, SIDES = st.floats(1.0, 20.0), st.floats(1.0, 200.0)
RECTANGLES = st.fixed_dictionaries({"height_px": SIDES, "width_px": SIDES})
# A disc narrower than a step may hold no point of a raster.
FIELDS = st.one_of(RECTANGLES, st.fixed_dictionaries({"radius_px": st.floats(20.0, 200.0)}))
CENTRE = (70.0, -30.0)


def raster(step_px: float, *, jitter_px: float = 0.0, **field: float) -> RasterScan:
    return RasterScan(kind="raster", step_px=step_px, centre_px=CENTRE, jitter_px=jitter_px, **field)


def spiral(step_px: float, **field: float) -> FermatSpiralScan:
    return FermatSpiralScan(kind="fermat_spiral", step_px=step_px, centre_px=CENTRE, **field)


def concentric(step_px: float, **field: float) -> ConcentricScan:
    return ConcentricScan(kind="concentric", step_px=step_px, centre_px=CENTRE, **field)


def test_draw_positions_of_canonical_scan(canonical_positions_px):
    scan = UniformScan(kind="uniform", n_exposures=10304, low_px=64, high_px=400)
    assert np.array_equal(draw_positions(scan, seed=42), canonical_positions_px)


def test_draw_positions_keeps_a_listed_order():
    scan = ListedScan(kind="listed", positions_px=((3.0, 1.0), (2.0, 5.0)))
    assert draw_positions(scan, seed=42).tolist() == [[3.0, 1.0], [2.0, 5.0]]


@pytest.mark.parametrize("make", [raster, spiral, concentric])
@given(step_px=STEPS, field=FIELDS)
def test_patterns_lie_in_their_field(make, step_px, field):
    offsets = draw_positions(make(step_px, **field), seed=1) - CENTRE
    assert len(offsets) >= 1
    if "radius_px" in field:
        assert np.linalg.norm(offsets, axis=1).max() <= field["radius_px"] * (1 + 1e-6)
    else:
        assert (np.abs(offsets).max(axis=0) * 2 <= np.array([field["height_px"], field["width_px"]]) * (1 + 1e-6)).all()


@given(STEPS, RECTANGLES)
def test_raster_is_as_many_rows_and_columns_as_fit_row_by_row(step_px, field):
    found = draw_positions(raster(step_px, **field), seed=1)
    n_rows, n_columns = (len({round(v, 6) for v in axis}) for axis in found.T)
    for n, side in ((n_rows, field["height_px"]), (n_columns, field["width_px"])):
        assert (n - 1) * step_px <= side * (1 + 1e-6)
        assert n * step_px >= side * (1 - 1e-6)
    rows = found.reshape(n_rows, n_columns, 2)
    assert np.allclose(np.diff(rows[:, :, 0], axis=0), step_px)
    assert np.allclose(np.diff(rows[:, :, 1], axis=1), step_px)
    assert np.allclose(found.mean(axis=0), CENTRE)


@given(STEPS, st.floats(0.01, 0.5), st.integers(0, 2**32 - 1))
def test_raster_jitter_moves_each_position_by_at_most_itself(step_px, share, seed):
    field = {"height_px": 5 * step_px, "width_px": 7 * step_px}
    still, moved = (
        draw_positions(raster(step_px, jitter_px=jitter, **field), seed=seed) for jitter in (0.0, share * step_px)
    )
    assert np.abs(moved - still).max() <= share * step_px
    assert (moved != still).all()


def test_raster_jitter_is_uniform_and_of_its_seed():
    field = {"height_px": 500.0, "width_px": 500.0}
    still = draw_positions(raster(5.0, **field), seed=3)
    first, again, other = (draw_positions(raster(5.0, jitter_px=2.0, **field), seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # 10 201 draws of each axis: mean 0, standard deviation 2 / sqrt(3), and the two axes independent.
    shifts = first - still
    assert np.allclose(shifts.mean(axis=0), 0, atol=4 * 2 / math.sqrt(3 * 10201))
    assert np.allclose(shifts.std(axis=0), 2 / math.sqrt(3), rtol=0.02)
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.04


@given(STEPS, st.floats(8.0, 40.0))
def test_fermat_spiral_has_one_position_for_each_square_of_its_step(step_px, steps_across):
    radius = step_px * steps_across / 2
    found = draw_positions(spiral(step_px, radius_px=radius), seed=1)
    assert len(found) == pytest.approx(math.pi * radius**2 / step_px**2, abs=1.01)


def test_fermat_spiral_turns_by_the_golden_angle_and_goes_outwards():
    offsets = draw_positions(spiral(4.0, radius_px=50.0), seed=1)[1:] - CENTRE
    radii, angles = np.hypot(*offsets.T), np.degrees(np.arctan2(*offsets.T))
    assert np.allclose(np.diff(angles) % 360, 137.50776)
    assert np.allclose(np.diff(radii**2), 4.0**2 / math.pi)


def test_fermat_spiral_has_neighbours_about_a_step_apart():
    found = draw_positions(spiral(4.0, height_px=90.0, width_px=140.0), seed=1)
    nearest = cKDTree(found).query(found[3:], k=2)[0][:, 1] / 4.0
    assert nearest.min() > 0.9
    assert nearest.max() < 1.1


@given(STEPS, st.integers(1, 12))
def test_concentric_has_five_k_positions_on_ring_k(step_px, n_rings):
    offsets = draw_positions(concentric(step_px, radius_px=n_rings * step_px), seed=1) - CENTRE
    ring = np.hypot(*offsets.T) / step_px
    assert np.allclose(ring, np.rint(ring), atol=1e-6)
    assert np.bincount(np.rint(ring).astype(int)).tolist() == [1, *(5 * k for k in range(1, n_rings + 1))]


def test_concentric_spaces_a_ring_evenly():
    outer = (draw_positions(concentric(4.0, radius_px=12.0), seed=1) - CENTRE)[-15:]
    assert np.allclose(np.hypot(*(outer - np.roll(outer, 1, axis=0)).T), 2 * 12 * math.sin(math.pi / 15))


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ({}, "either height_px and width_px, or radius_px"),
        ({"height_px": 5.0}, "either height_px and width_px, or radius_px"),
        ({"height_px": 5.0, "width_px": 5.0, "radius_px": 5.0}, "either height_px and width_px, or radius_px"),
        ({"radius_px": 1e5}, "enlarge the step or shrink the field"),
        ({"radius_px": -1.0}, "greater than or equal to"),
    ],
)
def test_patterns_refuse_a_field_that_is_none_or_holds_too_many(field, named):
    with pytest.raises(ValidationError, match=named):
        raster(1.0, **field)

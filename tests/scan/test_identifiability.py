"""What a cell measures against what it asks for: worked by hand, and counted pixel by pixel."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st
from tiny import tiny_study

from fly64dask.datasets import read_inputs
from fly64dask.scan import measure_coverage, predict_identifiability
from fly64dask.scan.identifiability import lit_fraction
from fly64dask.scheduling import plan_cells
from fly64dask.study import cells
from fly64dask.study.sources.scans import ListedScan

RECIPE = tiny_study().recipe
RANK = {"underdetermined": 0, "marginal": 1, "well_determined": 2}


def square_probe(side: int = 4, size: int = 8) -> np.ndarray:
    """A probe that lights a square in the middle of its array evenly."""
    probe = np.zeros((1, 1, size, size), dtype=np.complex64)
    low = (size - side) // 2
    probe[..., low : low + side, low : low + side] = 1j
    return probe


def positions(*yx: tuple[float, float]) -> np.ndarray:
    return np.array(yx, dtype=np.float64)


def test_measure_coverage_of_two_squares_that_share_a_half():
    # 4 x 4 px each, 2 px apart: 4 x 6 px are covered, 4 x 2 px of them twice.
    found = measure_coverage(positions((20, 20), (20, 22)), square_probe())
    assert (found.footprint_px2, found.covered_px2) == (16, (24, 8, 0))
    assert found.mean_coverage == pytest.approx(32 / 24)


def test_measure_coverage_of_three_squares_at_one_place():
    assert measure_coverage(positions(*[(20, 20)] * 3), square_probe()).covered_px2 == (16, 16, 16)


def test_measure_coverage_leaves_out_what_has_less_than_a_tenth_of_the_brightest_light():
    probe = square_probe()
    probe[..., 0, 0], probe[..., 0, 1] = 0.9 * np.sqrt(0.1), 1.1 * np.sqrt(0.1)
    assert measure_coverage(positions((20, 20)), probe).footprint_px2 == 17


# Where a half is rounded to is nobody's business.
COORDINATES = st.floats(0, 30).filter(lambda at: abs(at % 1 - 0.5) > 1e-6)


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=20))
def test_measure_coverage_equals_a_count_of_visits_pixel_by_pixel(yx):
    visits = Counter((round(y) + i, round(x) + j) for y, x in yx for i in range(-2, 2) for j in range(-2, 2))
    found = measure_coverage(positions(*yx), square_probe())
    assert found.covered_px2 == tuple(sum(n >= times for n in visits.values()) for times in (1, 2, 3))
    assert found.mean_coverage == pytest.approx(sum(visits.values()) / len(visits))


def test_lit_fraction_of_a_probe_of_one_pixel_is_that_of_even_light():
    probe = np.zeros((1, 1, 8, 8), dtype=np.complex64)
    probe[..., 4, 4] = 3.0
    assert lit_fraction(probe, 64.0) == pytest.approx(1 - np.exp(-1.0), rel=1e-6)


def test_lit_fraction_of_an_even_probe_is_one_pixel_however_bright():
    assert lit_fraction(np.ones((1, 1, 8, 8), dtype=np.complex64), 1e6) == pytest.approx(1 / 64, rel=1e-6)


def test_lit_fraction_is_that_of_valid_pixels_which_get_all_of_the_dose():
    # The far field of one pixel is even: 16 of 64 pixels share 64 photons.
    probe = np.zeros((1, 1, 8, 8), dtype=np.complex64)
    probe[..., 4, 4] = 3.0
    valid = np.arange(64).reshape(8, 8) < 16
    assert lit_fraction(probe, 64.0, valid) == pytest.approx(1 - np.exp(-4.0), rel=1e-6)


def test_lit_fraction_takes_the_zero_frequency_of_a_mask_from_its_centre():
    even, valid = np.ones((1, 1, 8, 8), dtype=np.complex64), np.ones((8, 8), dtype=bool)
    valid[0] = False  # the one bright pixel of an even probe is at [4, 4]
    assert lit_fraction(even, 1e6, valid) == pytest.approx(1 / 56, rel=1e-6)


def test_predict_identifiability_counts_valid_pixels_weights_and_positions():
    where, valid = positions((20, 20), (21, 22), (23, 20)), np.arange(64).reshape(8, 8) % 4 > 0
    plain, further = (
        predict_identifiability(where, square_probe(), recipe, dose_photons=1e6, valid_pixels=valid)
        for recipe in (RECIPE, RECIPE.model_copy(update={"refine_positions": True, "opr_modes": 3}))
    )
    assert plain.n_intensities == 3 * 48
    # Two more modes of 64 complex pixels, two more weights and two coordinates of each exposure.
    assert further.n_unknowns - plain.n_unknowns == 2 * 2 * 64 + 3 * 2 + 3 * 2


def test_predict_identifiability_of_two_squares_by_hand():
    found = predict_identifiability(positions((20, 20), (21, 22)), square_probe(), RECIPE, dose_photons=1e6)
    # Data: 2 patterns of 8 x 8. Unknowns: 16 + 16 - 3 x 2 px of object and 8 x 8 px of probe, two numbers each.
    assert (found.n_intensities, found.n_unknowns) == (128, 2 * 26 + 2 * 64)
    assert found.intensities_per_unknown == pytest.approx(128 / 180)
    assert found.covered_twice_fraction == pytest.approx(6 / 26)
    assert found.photons_per_unknown == pytest.approx(2e6 / 180)


def test_predict_identifiability_counts_no_data_where_the_probe_sends_no_light():
    # The transform of 4 px in 8 is 0 at 3 of 8 frequencies of each axis.
    found = predict_identifiability(positions((20, 20), (21, 22)), square_probe(), RECIPE, dose_photons=1e6)
    assert found.n_lit_intensities == pytest.approx(2 * 5 * 5, rel=1e-3)


def test_predict_identifiability_asks_for_no_probe_that_is_not_optimised():
    recipe = RECIPE.model_copy(update={"optimise_probe": False})
    found = predict_identifiability(positions((20, 20), (20, 22)), square_probe(), recipe, dose_photons=1e3)
    assert found.n_unknowns == 2 * 24


def test_predict_identifiability_asks_for_no_probe_that_the_guard_freezes():
    recipe = RECIPE.model_copy(update={"guarded": True})
    few, enough = (
        predict_identifiability(positions(*[(20, 20)] * n), square_probe(), recipe, dose_photons=1e3) for n in (3, 4)
    )
    assert (few.n_unknowns, enough.n_unknowns) == (2 * 16, 2 * 16 + 2 * 64)


@pytest.mark.parametrize(
    ("n_visits", "apart_px", "dose_photons", "prediction"),
    [
        (3, 0, 1e9, "well_determined"),  # 3 x 25 lit intensities for 32 unknowns, all of the area twice
        (2, 0, 1e9, "marginal"),  # 50 for 32
        (3, 0, 10.0, "underdetermined"),  # at most 30 for 32
        (6, 1, 1e9, "well_determined"),  # 150 for 72, and 28 of 36 px twice
        (4, 2, 1e9, "marginal"),  # 100 for 80, and 24 of 40 px twice
        (4, 4, 1e9, "underdetermined"),  # 100 for 128, and nothing twice
    ],
)
def test_predict_identifiability_goes_by_its_stated_thresholds(n_visits, apart_px, dose_photons, prediction):
    recipe = RECIPE.model_copy(update={"optimise_probe": False})
    where = positions(*[(20, 20 + apart_px * i) for i in range(n_visits)])
    found = predict_identifiability(where, square_probe(), recipe, dose_photons=dose_photons)
    assert found.prediction == prediction


@given(st.floats(1, 1e6), st.floats(1, 1e3), st.integers(1, 30))
def test_predict_identifiability_never_gets_worse_with_dose(dose_photons, factor, n_exposures):
    where = np.random.default_rng(n_exposures).uniform(10, 30, (n_exposures, 2))
    low, high = (
        predict_identifiability(where, square_probe(), RECIPE, dose_photons=dose)
        for dose in (dose_photons, factor * dose_photons)
    )
    assert RANK[low.prediction] <= RANK[high.prediction]


def test_plan_cells_predicts_for_each_cell_what_its_own_positions_give():
    study = tiny_study()
    inputs = read_inputs(study)
    planned = plan_cells(study, inputs, cells(study))
    baseline = next(one for one in planned if one.view == "all" and one.split == "train")
    along = inputs.positions_px[:, 0]
    below = inputs.positions_px[along < (along.min() + along.max()) / 2]
    alone = predict_identifiability(below, inputs.probe_guess, study.recipe, dose_photons=baseline.dose_photons)
    assert baseline.identifiability == alone


def test_plan_cells_predicts_nothing_that_has_no_selection():
    study = tiny_study()
    crowd = ListedScan(kind="listed", positions_px=((14.0, 14.0),) * 400 + ((30.0, 58.0), (40.0, 40.0), (58.0, 20.0)))
    study = study.model_copy(update={"source": study.source.model_copy(update={"scan": crowd})})
    planned = plan_cells(study, read_inputs(study), cells(study))
    predicted = {(one.view, one.split): one.identifiability is not None for one in planned}
    assert predicted["all", "train"]
    assert not predicted["few", "train"]

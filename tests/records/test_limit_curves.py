"""The curves behind limits: what they are made of, and the slope of errors with its standard error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from limit_rows import TARGET, row_of, rows_of, shot_noise_errors, study_of

from fly64dask.base import FailureKind
from fly64dask.metrics import TruthMetrics
from fly64dask.records import limit_curve, series_of
from fly64dask.study import Target

DOSES = (1e3, 1e4, 1e5)


def curve_of(rows, doses=DOSES, target=TARGET):
    of_truth = target.model_copy(update={"against": "truth"})
    (series,) = series_of(study_of(doses=doses, repeats=3), rows, of_truth)
    return limit_curve(series, of_truth)


def with_floor(errors, floor):
    noise_free = row_of(floor, 1e5).model_copy(update={"dose": "noise_free", "dose_photons": None})
    noise_free = noise_free.model_copy(
        update={"metrics": TruthMetrics.model_construct(phase_rmse_rad=floor, empty_phase_rmse_rad=0.5, frc=None)}
    )
    return curve_of([*rows_of(errors), noise_free], doses=(*errors, "noise_free"))


def test_the_slope_of_an_exact_power_law_is_its_power_and_has_no_error():
    slope = curve_of(rows_of(shot_noise_errors(DOSES))).slope
    assert (slope.power, slope.standard_error) == (pytest.approx(-0.5), pytest.approx(0, abs=1e-9))
    assert (slope.n_doses, slope.n_values) == (3, 9)


def test_errors_that_are_all_the_same_have_a_slope_of_zero():
    slope = curve_of(rows_of({dose: [0.1] * 3 for dose in DOSES})).slope
    assert (slope.power, slope.standard_error, slope.half_width_95) == (0, 0, 0)


def test_the_standard_error_of_a_slope_is_the_spread_of_slopes_over_noise():
    slopes = [curve_of(rows_of(shot_noise_errors(DOSES, spread=0.1, seed=seed))).slope for seed in range(200)]
    spread = np.std([slope.power for slope in slopes], ddof=1)
    assert np.mean([slope.power for slope in slopes]) == pytest.approx(-0.5, abs=4 * spread / math.sqrt(200))
    # 7 degrees of freedom: the mean standard error is 0.965 of the true one, known here to 5 %.
    assert np.mean([slope.standard_error for slope in slopes]) == pytest.approx(0.965 * spread, rel=0.2)


def test_the_interval_of_a_slope_is_that_of_student():
    slope = curve_of([row_of(error, dose) for error, dose in zip((0.2, 0.1, 0.02), DOSES, strict=True)]).slope
    # Three numbers leave one degree of freedom, for which tables have 12.706.
    assert slope.half_width_95 == pytest.approx(12.706 * slope.standard_error, rel=1e-4)


def test_doses_at_the_floor_do_not_count_for_the_slope():
    errors = {dose: [0.1 * math.sqrt(1e3 / dose)] * 3 for dose in (1e3, 1e4, 1e5)} | {1e6: [0.0105] * 3}
    slope = with_floor(errors, 0.004).slope
    assert slope.n_doses == 4
    slope = with_floor(errors, 0.01 / 1.4).slope
    assert slope is None  # 1e5 is at the floor as well, and two doses have no slope


def test_doses_of_one_fluence_have_no_slope():
    rows = [row.model_copy(update={"fluence_photons_per_px2": 20.0}) for row in rows_of(shot_noise_errors(DOSES))]
    assert curve_of(rows).slope is None


def test_two_doses_have_no_slope():
    assert curve_of(rows_of(shot_noise_errors((1e3, 1e4))), doses=(1e3, 1e4)).slope is None


def test_a_resolution_has_no_slope():
    assert curve_of(rows_of(shot_noise_errors(DOSES)), target=Target(resolution_px=3)).slope is None


def test_points_name_their_cells_and_count_what_failed():
    failed = row_of(None, 1e3, 1, state="failed", returncode=1, failure_kind=FailureKind.NOT_FINITE)
    point, *_ = curve_of([row_of(0.2, 1e3, 0), failed, row_of(0.3, 1e3, 2)]).points
    assert point.cells == ("dose_1000/close/whole", "dose_1000.repeat_2/close/whole")
    assert (point.values, point.level, point.n_failed) == ((0.2, 0.3), 0.3, 1)


@pytest.mark.parametrize(("n_doses", "n_places"), [(3, 17), (51, 401), (600, 600)])
def test_a_line_has_eight_steps_between_two_doses_and_fewer_between_many(n_doses, n_places):
    doses = tuple(np.geomspace(1e3, 1e5, n_doses).tolist())
    line = curve_of(rows_of({dose: [0.1] * 3 for dose in doses}), doses=doses).line
    assert len(line) == n_places
    assert (line[0].dose, line[-1].dose) == (1e3, 1e5)

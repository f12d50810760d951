"""What a report says and draws of limits: curves, maps, the cell that it opens on, and the SNR of repeats."""

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
from limit_rows import TARGET, row_of, rows_of, shot_noise_errors, study_of, totals_of

from fly64dask.records import Slope, answer_of
from fly64dask.report.answer import RepeatSnr, answer_content, draw_limits, draw_overlap_map, draw_snr
from fly64dask.report.answer.curves import slope_words
from fly64dask.report.answer.overlap_map import round_levels
from fly64dask.report.cells import CellArrays
from fly64dask.report.images import ObjectInArea
from fly64dask.study import NamedRecipe, Target

DOSES = (1e3, 1e4, 1e5)
STUDY = study_of(targets=(TARGET,))
ROWS = rows_of(shot_noise_errors(DOSES, spread=0.05))
ANSWER = answer_of(STUDY, ROWS)


def lines_of(axis):
    return {str(line.get_label()): line for line in axis.lines}


def test_the_page_opens_on_the_cell_that_misses_the_target_last():
    content = answer_content(totals_of(STUDY, ROWS), "runs/mine", [])
    assert content.opens_on == "dose_1000/close/whole"
    assert content.hint is None
    assert "does not contain the error of the interpolation" in content.note


def test_the_page_opens_on_the_highest_dose_where_it_misses_the_target_too():
    errors = {dose: [0.3, 0.31, 0.32] for dose in DOSES}
    assert answer_content(totals_of(STUDY, rows_of(errors)), "runs/mine", []).opens_on == "dose_100000/close/whole"


def test_the_page_opens_on_the_lowest_dose_where_it_reaches_the_target_already():
    errors = {dose: [0.01, 0.02, 0.03] for dose in DOSES}
    assert answer_content(totals_of(STUDY, rows_of(errors)), "runs/mine", []).opens_on == "dose_1000/close/whole"


def test_the_page_of_a_study_without_targets_opens_on_its_best_cell():
    study = STUDY.model_copy(update={"targets": ()})
    rows = [row_of(error, dose) for error, dose in ((0.2, 1e3), (0.05, 1e4), (0.1, 1e5))]
    assert answer_content(totals_of(study, rows), "runs/mine", []).opens_on == "dose_10000/close/whole"


def test_of_equal_cells_the_page_opens_on_the_one_with_the_most_photons():
    study = STUDY.model_copy(update={"targets": ()})
    rows = [row_of(0.1, dose, view=view) for dose in (1e3, 1e5, 1e4) for view in ("loose", "close")]
    assert answer_content(totals_of(study, rows), "runs/mine", []).opens_on == "dose_100000/loose/whole"


def test_the_page_of_a_run_without_a_completed_cell_opens_on_none_of_them():
    study = STUDY.model_copy(update={"targets": ()})
    assert answer_content(totals_of(study, []), "runs/mine", []).opens_on is None


def test_a_page_without_a_target_says_how_to_get_one_with_a_command_that_a_shell_takes():
    content = answer_content(totals_of(STUDY.model_copy(update={"targets": ()}), ROWS), "my runs/mine", [])
    assert content.answer is None
    assert "[[targets]]" in content.hint
    assert "`fly64dask limits 'my runs/mine' --target resolution_px=3`" in content.hint


def test_a_page_of_a_study_without_repeats_says_that_no_limit_has_an_interval():
    content = answer_content(totals_of(STUDY.model_copy(update={"repeats": 1}), ROWS[::3]), "runs/mine", [])
    assert content.note == "Without repeats no limit has an interval."


def test_a_figure_of_limits_has_the_target_the_guide_and_each_view_by_name():
    (axis,) = draw_limits(ANSWER).axes
    lines = lines_of(axis)
    assert {"close", "target"} < set(lines)
    assert list(lines["target"].get_ydata()) == [0.1, 0.1]
    (guide,) = (line for label, line in lines.items() if label.startswith("guide"))
    (x0, *_, x1), (y0, *_, y1) = guide.get_xdata(), guide.get_ydata()
    assert np.log(y1 / y0) / np.log(x1 / x0) == pytest.approx(-0.5)


def test_a_figure_of_limits_has_axes_with_units_and_no_legend_over_curves():
    figure = draw_limits(ANSWER)
    (axis,) = figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("fluence (photons/px²)", "phase error (rad)")
    assert axis.get_legend() is None
    assert len(figure.legends) == 1


def test_a_figure_of_limits_marks_the_crossing_where_the_record_has_it():
    (axis,) = draw_limits(ANSWER).axes
    lowest = ANSWER.targets[0].doses[0].lowest.fluence_photons_per_px2
    places = [line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1]
    assert places == [pytest.approx(lowest)]


@pytest.mark.parametrize(
    ("power", "half_width", "words"),
    [
        (-0.4962, 0.0341, "−0.50 ± 0.04"),
        (-0.3952, 0.0025, "−0.40 ± 0.01"),
        (-0.39, 0.25, "−0.4 ± 0.3"),
        (-0.01, 0.3, "0.0 ± 0.3"),
    ],
)
def test_a_slope_has_the_digits_that_its_interval_leaves(power, half_width, words):
    assert slope_words(Slope(power=power, standard_error=0.0, half_width_95=half_width, n_doses=3, n_values=3)) == words


def test_a_figure_of_limits_tells_the_fitted_slope_with_its_interval():
    slope = ANSWER.targets[0].curves[0].slope
    caption = " ".join(draw_limits(ANSWER).get_supxlabel().split())
    assert f"close {slope_words(slope)} (3 doses)" in caption


def made_by_recipes(view, names):
    """Rows of a view by several recipes, and a study that has them."""
    rows = [
        row.model_copy(update={"recipe_name": name, "view": view})
        for name in names
        for row in rows_of(shot_noise_errors(DOSES))
    ]
    recipes = tuple(NamedRecipe(name=name) for name in names)
    return study_of(view, targets=(TARGET,), recipes=recipes), rows


def test_the_curves_of_one_view_have_a_colour_and_a_mark_for_each_recipe():
    study, rows = made_by_recipes("close", [f"recipe{k}" for k in range(8)])
    (axis,) = draw_limits(answer_of(study, rows)).axes
    looks = {
        (line.get_color(), line.get_marker()) for name, line in lines_of(axis).items() if name.startswith("recipe")
    }
    assert len(looks) == 8


def test_the_caption_of_a_figure_stays_within_its_width():
    study, rows = made_by_recipes("close", [f"a-recipe-of-a-long-name-{k}" for k in range(6)])
    figure = draw_limits(answer_of(study, rows))
    figure.savefig(io.BytesIO())
    (caption,) = (text for text in figure.texts if text.get_text() == figure.get_supxlabel())
    assert caption.get_window_extent().x1 <= figure.bbox.x1


def rows_of_views(**overlaps):
    """Rows of views whose errors are 0.1 rad (fluence / 50)^-0.5 (overlap / 0.4)^-1."""
    rows = []
    for view, overlap in overlaps.items():
        for dose in DOSES:
            row = row_of(0.1 * (dose / 5e3) ** -0.5 * (0.4 / overlap), dose)
            rows.append(row.model_copy(update={"view": view, "linear_overlap": overlap}))
    return rows


def test_a_map_of_fluence_and_overlap_has_the_targets_line_where_the_formula_says():
    rows = rows_of_views(loose=0.2, middle=0.4, close=0.8)
    study = study_of("loose", "middle", "close", repeats=1)
    figure = draw_overlap_map(answer_of(study, rows, [TARGET]).targets[0])
    (axis,) = figure.axes
    # The last set of lines is the target's: with an overlap of 40 % it is reached at 50 photons/px².
    x, y = axis.collections[-1].get_paths()[0].vertices.T
    assert np.interp(40, y[np.argsort(y)], x[np.argsort(y)]) == pytest.approx(50, rel=0.02)
    assert "Drawn from 9 cells" in " ".join(figure.get_supxlabel().split())


def test_labels_of_a_map_lie_apart_from_each_other():
    rows = rows_of_views(loose=0.2, middle=0.4, close=0.8)
    figure = draw_overlap_map(answer_of(study_of("loose", "middle", "close", repeats=1), rows, [TARGET]).targets[0])
    figure.savefig(io.BytesIO())
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 4
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_a_map_whose_levels_never_reach_the_target_has_no_line_of_it():
    rows = rows_of_views(loose=0.2, middle=0.4, close=0.8)
    beyond = Target(phase_error_rad=1e-4)
    figure = draw_overlap_map(answer_of(study_of("loose", "middle", "close", repeats=1), rows, [beyond]).targets[0])
    assert "0.0001" not in [text.get_text() for text in figure.axes[0].texts]


def test_two_views_have_no_map():
    study = study_of("loose", "close", repeats=1)
    assert draw_overlap_map(answer_of(study, rows_of_views(loose=0.2, close=0.8), [TARGET]).targets[0]) is None


def test_round_levels_lie_between_two_numbers():
    assert round_levels(0.04, 0.21) == [0.05, 0.07, 0.1, 0.15, 0.2]


def snr_of(rows, images, *, is_aligned=True):
    inside = np.hypot(*np.mgrid[-16:16, -16:16]) < 15
    found = RepeatSnr()
    for row, image in zip(rows, images, strict=True):
        found.add(row, CellArrays(in_area=ObjectInArea(values=image, inside=inside, is_aligned=is_aligned)))
    found.finish()
    return found.curves


def noisy(n, sigma):
    rng = np.random.default_rng(0)
    truth = np.exp(0.5j * rng.standard_normal((32, 32)))
    return truth + sigma * (rng.standard_normal((n, 32, 32)) + 1j * rng.standard_normal((n, 32, 32)))


def test_repeats_of_each_dose_have_a_curve_of_their_own():
    rows = [row_of(0.1, dose, repeat) for dose in (1e3, 1e4) for repeat in range(3)]
    curves = snr_of(rows, [*noisy(3, 0.3), *noisy(3, 0.1)])
    assert [(curve.dose, curve.n_repeats) for curve in curves] == [("dose_1000", 3), ("dose_10000", 3)]
    ratio = np.mean(curves[1].snr) / np.mean(curves[0].snr)
    assert ratio == pytest.approx(9, rel=0.3)


def test_repeats_without_a_truth_are_aligned_to_the_first():
    rows = [row_of(0.1, 1e3, repeat) for repeat in range(3)]
    images = noisy(3, 0.05)
    turned = [image * np.exp(1j * phase) for image, phase in zip(images, (0.0, 1.0, 2.0), strict=True)]
    (expected,), (found,) = snr_of(rows, images, is_aligned=False), snr_of(rows, turned, is_aligned=False)
    np.testing.assert_allclose(found.snr, expected.snr, rtol=0.05)


def test_two_repeats_have_no_curve():
    assert snr_of([row_of(0.1, 1e3, repeat) for repeat in range(2)], noisy(2, 0.1)) == []


def test_a_figure_of_spectral_snr_has_a_panel_for_each_view_and_a_line_where_signal_equals_noise():
    rows = [row_of(0.1, 1e3, repeat, view=view) for view in ("loose", "close") for repeat in range(3)]
    figure = draw_snr(snr_of(rows, noisy(6, 0.1)), "exposure")
    assert [axis.get_title() for axis in figure.axes] == ["loose whole", "close whole"]
    assert all("signal equals noise" in lines_of(axis) for axis in figure.axes)

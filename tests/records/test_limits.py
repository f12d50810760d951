"""The lowest dose and overlap that reach a target: where they lie, with which interval, and how a sentence says it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from limit_rows import TARGET, row_of, rows_of, shot_noise_errors, study_of

from fly64dask.base import FailureKind, InputError
from fly64dask.metrics import Crossing, TruthMetrics
from fly64dask.metrics.results import RingMetrics
from fly64dask.records import answer_of, number_words, overlap_words
from fly64dask.records.limits import limit_along, reached_level
from fly64dask.records.limits.crossing import limit_draws
from fly64dask.study import Target

DOSES = (1e3, 1e4, 1e5)


def limit_of(errors, target=TARGET, **changes):
    study = study_of(doses=tuple(errors), repeats=max(map(len, errors.values())), **changes)
    return answer_of(study, rows_of(errors), [target]).targets[0].doses[0]


def test_an_error_that_falls_as_shot_noise_reaches_the_target_where_its_formula_says():
    found = limit_of(shot_noise_errors(DOSES))
    assert (found.outcome, found.last_miss, found.first_reach) == ("reached", pytest.approx(1e3), pytest.approx(1e4))
    assert found.lowest.dose == pytest.approx(5e3)


def test_the_lowest_light_has_the_fluence_and_the_total_of_that_dose():
    found = limit_of(shot_noise_errors(DOSES)).lowest
    assert (found.fluence_photons_per_px2, found.total_photons) == pytest.approx((50, 50 * 5e3))


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        ({1e3: [0.09] * 2, 1e4: [0.05] * 2}, "reached_already"),
        ({1e3: [0.3] * 2, 1e4: [0.2] * 2}, "not_reached"),
        ({1e3: [0.09] * 2, 1e4: [0.2] * 2, 1e5: [0.05] * 2}, "not_monotonic"),
        ({1e3: [0.2] * 2, 1e4: [0.05] * 2, 1e5: [0.2] * 2}, "not_monotonic"),
    ],
)
def test_a_series_that_does_not_fall_to_the_target_once_says_how(errors, outcome):
    assert limit_of(errors).outcome == outcome


def test_a_failed_repeat_misses_the_target():
    study = study_of(doses=(1e3, 1e4), repeats=2)
    failed = row_of(None, 1e4, 1, state="failed", returncode=1, failure_kind=FailureKind.NOT_FINITE)
    rows = [*rows_of({1e3: [0.2, 0.2], 1e4: [0.05]}), failed]
    of_half, of_all = (
        answer_of(study, rows, [Target(phase_error_rad=0.1, share=share)]).targets[0].doses[0].outcome
        for share in (0.5, 1.0)
    )
    assert (of_half, of_all) == ("reached", "not_reached")


def test_a_cell_of_another_study_than_the_present_one_is_pending():
    study = study_of(doses=(1e3, 1e4), repeats=2)
    old = row_of(0.01, 1e3, 1).model_copy(update={"outdated": "of an older recipe"})
    found = answer_of(study, [*rows_of({1e3: [0.2], 1e4: [0.05, 0.05]}), old], [TARGET]).targets[0].doses[0]
    assert (found.outcome, found.n_pending) == ("reached", 1)


def test_a_view_without_reconstructions_says_why():
    skipped = {"state": "skipped", "returncode": 1, "failure_kind": FailureKind.NOT_SELECTABLE}
    rows = [row_of(None, dose, **skipped) for dose in DOSES]
    answer = answer_of(study_of(repeats=1), rows, [TARGET]).targets[0]
    assert answer.doses[0].outcome == "unknown"
    assert "3 not_selectable" in answer.sentences[0]


def test_without_repeats_there_is_no_interval():
    assert limit_of(shot_noise_errors(DOSES, repeats=1)).interval is None


def test_a_target_that_an_empty_object_reaches_is_said_to_be_one():
    """Rows have an error of 0.5 rad for an empty object."""
    study = study_of(repeats=1)
    rows = rows_of({1e3: [0.9], 1e4: [0.4], 1e5: [0.1]})
    of_lax, of_strict = (
        answer_of(study, rows, [Target(phase_error_rad=goal)]).targets[0].sentences[0] for goal in (0.6, 0.3)
    )
    assert of_lax.endswith("; an empty object has 0.5 rad already.")
    assert "empty object" not in of_strict


def test_a_sentence_without_an_interval_names_the_doses_beside_the_limit():
    study = study_of(repeats=1)
    sentence = answer_of(study, rows_of(shot_noise_errors(DOSES, repeats=1)), [TARGET]).targets[0].sentences[0]
    assert "needs 5e3 photons per exposure (1e3 misses, 1e4 reaches; no interval), 50 photons/px²" in sentence


def test_the_interval_holds_the_truth_in_nine_of_ten_cases():
    """Five repeats of error = a dose^-0.5 + floor; 90 of 100 lie within four standard deviations of 90 +- 3."""
    floor, goal = 0.01, 0.025
    truth = math.log((1 / (goal - floor)) ** 2)
    n_held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        axis = truth + math.log(3) * (np.arange(5) - 2 + rng.uniform(-0.5, 0.5))
        errors = (np.exp(-axis / 2) + floor)[:, None] * np.exp(0.05 * rng.standard_normal((5, 5)))
        found = limit_along(axis, [[of_dose] for of_dose in errors], goal, share=0.5, seed=seed)
        n_held += found.low <= truth <= found.high
    assert 78 <= n_held <= 100


@given(seed=st.integers(0, 10**6), repeats=st.sampled_from((2, 3, 4, 6)), share=st.sampled_from((0.5, 0.8)))
def test_an_interval_contains_its_limit(seed, repeats, share):
    """Also with few repeats, whose level lies low: that of two is the lower one."""
    axis = np.log(np.geomspace(1e2, 1e6, 5))
    spread = np.exp(0.1 * np.random.default_rng(seed).standard_normal((5, repeats)))
    errors = np.exp(-axis / 2)[:, None] * spread
    found = limit_along(axis, [[of_dose] for of_dose in errors], 0.01, share=share, seed=seed)
    assert not found.has_interval or found.low <= found.at <= found.high


def test_the_same_run_gives_the_same_interval():
    errors = shot_noise_errors(DOSES, spread=0.1)
    assert limit_of(errors).interval == limit_of(errors).interval


def test_several_objects_are_resampled_as_a_whole():
    """Two objects whose limits differ: neither repeats nor doses tell which is typical, so the interval holds both."""
    axis = [0.0, 1.0, 2.0, 3.0]
    easy, hard = ([math.exp(0.7 - each)] * 2 for each in axis), ([math.exp(2.2 - each)] * 2 for each in axis)
    found = limit_along(axis, list(zip(easy, hard, strict=True)), 1.0, share=0.5, seed=0)
    # Two numbers hardly tell a spread: Student's t of one degree of freedom is 6.3 here, and the axis ends before.
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_interval_of_few_objects_holds_the_limit_as_often_as_it_says():
    """Each object's limit is normal about 1.5; when objects were drawn without a scale 46 of these 60 held it."""
    axis, n_held = [0.0, 1.0, 2.0, 3.0], 0
    for seed in range(60):
        limits = np.random.default_rng(seed).normal(1.5, 0.2, 3)
        values = [[[math.exp(limit - place)] for limit in limits] for place in axis]
        draws = limit_draws(axis, values, 1.0, share=0.5, seed=0, near=slice(0, 4), n=199)
        low, high = np.quantile(draws, (0.05, 0.95), method="inverted_cdf")
        n_held += low <= 1.5 <= high
    assert n_held >= 52


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=9), st.floats(0.01, 1), st.floats(0.01, 10))
def test_a_level_reaches_a_goal_just_where_the_share_of_the_values_does(values, share, goal):
    n_reaching = sum(value <= goal for value in values)
    assert (reached_level(values, share) <= goal) == (n_reaching >= share * len(values) - 1e-6)


def test_overlap_at_equal_fluence_is_interpolated_between_views():
    """Both views have one fluence at each dose; errors of 0.2 and 0.05 rad meet 0.1 halfway in logarithms."""
    study = study_of("loose", "close", doses=(1e3, 1e4), repeats=1)
    rows = [
        *rows_of({1e3: [0.2], 1e4: [0.2]}, view="loose"),
        *rows_of({1e3: [0.05], 1e4: [0.05]}),
    ]
    found = answer_of(study, rows, [TARGET]).targets[0].overlaps
    assert [(each.outcome, each.lowest) for each in found] == [("reached", pytest.approx(0.4))] * len(found)


def test_views_of_which_the_densest_misses_have_no_lowest_overlap():
    study = study_of("loose", "close", doses=(1e4,), repeats=1)
    rows = [*rows_of({1e4: [0.05]}, view="loose"), *rows_of({1e4: [0.2]}, view="close")]
    found = answer_of(study, rows, [TARGET]).targets[0].overlaps[0]
    assert (found.outcome, found.lowest) == ("not_monotonic", None)


@pytest.mark.parametrize(("overlap", "words"), [(0.714, "71 %"), (-1.1, "−110 % (beams apart)")])
def test_a_negative_overlap_is_said_to_be_a_gap(overlap, words):
    assert overlap_words(overlap) == words


def test_an_overlap_without_an_interval_names_the_views_beside_it():
    study = study_of("loose", "close", doses=(1e3, 1e4), repeats=1)
    rows = [*rows_of({1e3: [0.2], 1e4: [0.2]}, view="loose"), *rows_of({1e3: [0.05], 1e4: [0.05]})]
    sentence = next(words for words in answer_of(study, rows, [TARGET]).targets[0].sentences if "overlap of" in words)
    assert sentence.endswith("overlap of 40 % (between the views of 20 %, which misses, and 60 %).")


def test_an_overlap_with_an_interval_names_the_views_beside_it_too():
    """Errors of 0.2 rad at 20 % and of 0.05 rad at 60 %: the repeats alone would place 40 % to a few per cent."""
    study = study_of("loose", "close", doses=(1e3, 1e4), repeats=3)
    rows = [
        row
        for view, error in (("loose", 0.2), ("close", 0.05))
        for row in rows_of(dict.fromkeys((1e3, 1e4), (error * 0.98, error, error * 1.02)), view=view)
    ]
    sentence = next(words for words in answer_of(study, rows, [TARGET]).targets[0].sentences if "overlap of" in words)
    assert "overlap of 40 % (between the views of 20 %, which misses, and 60 %; 90 % interval: " in sentence


def test_an_overlap_beyond_all_views_names_the_last_view_that_has_numbers():
    """A view that has not run says nothing: the sparsest one of the study may be it."""
    study = study_of("apart", "loose", "close", doses=(1e3, 1e4), repeats=1)
    said = []
    for error in (0.05, 0.2):
        rows = [row for view in ("loose", "close") for row in rows_of({1e3: [error], 1e4: [error]}, view=view)]
        sentences = answer_of(study, rows, [TARGET]).targets[0].sentences
        said.append(next(words for words in sentences if words.startswith("With ")))
    assert said[0].endswith("is reached already by the sparsest view that has numbers, loose.")
    assert said[1].endswith("is reached by no view, up to close, the densest.")


def test_a_sentence_has_overlap_target_dose_interval_and_fluence():
    study = study_of(doses=DOSES, repeats=3)
    sentence = answer_of(study, rows_of(shot_noise_errors(DOSES, spread=0.05)), [TARGET]).targets[0].sentences[0]
    assert sentence.startswith("At 60 % linear overlap (close, whole), 0.1 rad needs ")
    assert " photons per exposure (1e3 misses, 1e4 reaches; 90 % interval of 3 cells each: " in sentence
    assert " photons/px², " in sentence


def test_a_resolution_at_a_correlation_of_one_half_with_the_truth_is_a_target():
    study = study_of(doses=(1e3, 1e4), repeats=1)
    target = Target(resolution_px=2.0, criterion="half")
    rows = []
    for dose, resolution_px in ((1e3, 4.0), (1e4, 1.0)):
        at = Crossing(shell=9.0, frequency_per_px=0.5 / resolution_px, resolution_px=resolution_px)
        metrics = TruthMetrics.model_construct(
            phase_rmse_rad=0.1, empty_phase_rmse_rad=0.5, frc=RingMetrics(half_bit=None, half=at)
        )
        rows.append(row_of(0.1, dose).model_copy(update={"metrics": metrics}))
    answer = answer_of(study, rows, [target]).targets[0]
    assert answer.words == "resolution of 2 px (correlation of 0.5, against the truth)"
    # Half way in the logarithms: 4 px, 2 px, 1 px.
    assert answer.doses[0].lowest.dose == pytest.approx(10**3.5)


def test_a_sentence_counts_the_cells_of_the_dose_that_has_the_fewer():
    errors = shot_noise_errors(DOSES, spread=0.05, repeats=3)
    rows = rows_of(errors | {1e4: errors[1e4][:2]})
    sentence = answer_of(study_of(doses=DOSES, repeats=3), rows, [TARGET]).targets[0].sentences[0]
    assert "90 % interval of 2 cells each: " in sentence


def test_a_target_that_noise_free_data_miss_is_no_matter_of_photons():
    study = study_of(doses=(1e3, 1e4, "noise_free"), repeats=1)
    rows = rows_of({1e3: [0.3], 1e4: [0.2]})
    noise_free = rows[0].model_copy(update={"dose": "noise_free", "dose_photons": None})
    noise_free = noise_free.model_copy(
        update={"metrics": TruthMetrics.model_construct(phase_rmse_rad=0.15, empty_phase_rmse_rad=0.5, frc=None)}
    )
    answer = answer_of(study, [*rows, noise_free], [TARGET]).targets[0]
    assert answer.doses[0].noise_free == 0.15
    assert "more photons do not help" in answer.sentences[0]


def test_a_run_without_a_target_asks_for_one():
    with pytest.raises(InputError, match=r"has no targets.*--target resolution_px=3"):
        answer_of(study_of(), [])


@pytest.mark.parametrize("target", [0.1, "resolution"])
def test_what_is_no_target_is_named_with_one_that_is(target):
    with pytest.raises(InputError, match=r"is no Target; give one, such as fly64dask\.Target\(phase_error_rad=0\.1\)"):
        answer_of(study_of(), [], [target])


def test_an_answer_is_printed_as_its_sentences():
    study = study_of(doses=DOSES, repeats=3)
    answer = answer_of(study, rows_of(shot_noise_errors(DOSES)), [TARGET, Target(phase_error_rad=0.2)])
    assert str(answer).splitlines() == [sentence for target in answer.targets for sentence in target.sentences]
    assert len(str(answer).splitlines()) > 1


def test_a_target_that_needs_what_the_study_has_not_is_refused():
    with pytest.raises(InputError, match=r'add "noise_free" to doses_photons'):
        answer_of(study_of(), [], [Target(error_over_floor=2)])


def test_a_target_in_nm_of_pixels_without_a_size_is_refused():
    with pytest.raises(InputError, match=r"target 2 nm needs the size of a pixel; add pixel_size_nm to \[source\]"):
        answer_of(study_of(), [], [Target(resolution_nm=2)])


@pytest.mark.parametrize(
    ("number", "words"),
    [(12345.0, "1.2e4"), (1000.0, "1e3"), (940.4, "940"), (12.3, "12"), (0.34, "0.34"), (1.0, "1.0")],
)
def test_a_number_has_two_digits(number, words):
    assert number_words(number) == words


def test_a_repeated_dose_far_from_the_limit_gives_its_spread_to_one_that_is_not_repeated():
    """What adaptive studies make: without a spread of their own, single cells beside the limit are not certain."""
    spread = [0.9, 1.0, 1.1]
    errors = {1e2: [0.7 * each for each in spread], 1e3: [0.22], 1e4: [0.07], 1e5: [0.022], 1e6: [0.007]}
    ends = limit_of(errors).interval.doses
    assert ends[1] > 1.05 * ends[0]


def test_repeats_that_do_not_differ_tell_no_interval():
    assert limit_of({1e3: [0.2] * 3, 1e4: [0.05] * 3}).interval is None


def test_a_limit_beside_an_end_of_the_doses_has_an_open_interval():
    found = limit_of({1e3: [0.18, 0.19, 0.2, 0.21, 0.22], 1e4: [0.085, 0.09, 0.095, 0.11, 0.115]})
    assert found.outcome == "reached"
    assert found.interval.low is not None
    assert found.interval.high is None


@pytest.mark.parametrize("outcome", ["reached_already", "not_reached"])
def test_only_a_target_that_is_reached_between_doses_has_an_interval(outcome):
    errors = {"reached_already": [0.05, 0.06], "not_reached": [0.2, 0.3]}[outcome]
    found = limit_of({1e3: errors, 1e4: errors})
    assert (found.outcome, found.interval) == (outcome, None)


def test_the_doses_beside_a_limit_are_those_of_the_study():
    found = limit_of(shot_noise_errors((1e3, 2.2e3, 3.16e4)))
    assert (found.last_miss, found.first_reach) == (2.2e3, 3.16e4)


def test_where_a_target_is_missed_again_the_doses_say_where():
    study = study_of(repeats=2)
    answer = answer_of(study, rows_of({1e3: [0.09] * 2, 1e4: [0.2] * 2, 1e5: [0.05] * 2}), [TARGET]).targets[0]
    found = answer.doses[0]
    assert (found.first_reach, found.last_miss) == pytest.approx((1e3, 1e4))
    assert "first reached at 1e3 photons per exposure, and missed again at 1e4" in answer.sentences[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "failed", "failure_kind": FailureKind.CRASHED}, "1 crashed"),
        ({"state": "failed", "failure_kind": FailureKind.OUT_OF_MEMORY}, "1 out_of_memory"),
        ({"state": "damaged", "failure_kind": FailureKind.BAD_INPUT}, "1 damaged"),
    ],
)
def test_a_failure_that_says_nothing_of_the_dose_is_no_miss_and_is_named(fields, words):
    study = study_of(doses=(1e3, 1e4), repeats=2)
    lost = row_of(None, 1e4, 1, returncode=1, **fields)
    every = Target(phase_error_rad=0.1, share=1.0)
    answer = answer_of(study, [*rows_of({1e3: [0.2, 0.2], 1e4: [0.05]}), lost], [every]).targets[0]
    assert (answer.doses[0].outcome, answer.doses[0].n_pending) == ("reached", 1)
    assert f"(cells that do not count: {words})" in answer.sentences[0]


def test_completed_cells_without_the_number_are_not_said_to_be_running():
    rows = [row_of(None, dose) for dose in DOSES]
    answer = answer_of(study_of(repeats=1), rows, [TARGET]).targets[0]
    assert "3 without this number" in answer.sentences[0]


def test_an_object_without_a_number_at_a_dose_is_not_taken_for_another():
    axis = [0.0, 1.0]
    both, one = ([2.0, 2.1], [2.2, 2.3]), ([0.4, 0.5], [])
    assert limit_along(axis, [both, one], 1.0, share=0.5, seed=0).draws is None


def test_a_failed_repeat_moves_no_other_at_equal_fluence():
    """At 3.2e1 photons/px^2, halfway, an error that falls a decade a decade is the geometric mean of its ends."""
    study = study_of("loose", "close", doses=(1e3, 1e4), repeats=2)
    failed = row_of(None, 1e4, 1, view="loose", state="failed", returncode=1, failure_kind=FailureKind.NOT_FINITE)
    loose = [*rows_of({1e3: [0.8, 0.8], 1e4: [0.08]}, view="loose"), failed]
    close = rows_of({1e3: [0.2, 0.2], 1e4: [0.02, 0.02]})
    target = Target(phase_error_rad=0.126, share=0.5)
    found = answer_of(study, [*loose, *close], [target]).targets[0].overlaps
    middle = next(each for each in found if each.fluence_photons_per_px2 == pytest.approx(10**1.5))
    # 0.253 at an overlap of 0.2 and 0.0632 at 0.6: 0.126 lies halfway in logarithms.
    assert middle.lowest == pytest.approx(0.4, abs=0.002)


def test_a_measured_dose_beside_an_equal_one_is_one_point():
    study = study_of(doses=(1e3, 1e4), repeats=1).model_copy(update={"doses_photons": (1e3, "measured", 1e4)})
    measured = row_of(0.05, 1e4).model_copy(update={"dose": "measured"})
    found = answer_of(study, [*rows_of({1e3: [0.2], 1e4: [0.05]}), measured], [TARGET]).targets[0].doses[0]
    assert (found.outcome, found.first_reach) == ("reached", pytest.approx(1e4))


def test_resamples_of_two_views_are_independent():
    study = study_of("loose", "close")
    errors = shot_noise_errors(DOSES, spread=0.1)
    rows = [*rows_of(errors, view="loose"), *rows_of(errors)]
    first, second = answer_of(study, rows, [TARGET]).targets[0].doses
    assert first.lowest == second.lowest
    assert first.interval != second.interval

"""Limits of several runs beside each other: series of their own, one set of targets, and what differs said."""

from __future__ import annotations

import pytest
from limit_rows import PX2, TARGET, row_of, rows_of, shot_noise_errors, study_of
from measured import measured_study

from fly64dask.base import InputError
from fly64dask.records import answer_of, answer_of_runs
from fly64dask.study import Target

DOSES = (1e3, 1e4, 1e5)
LONG, SHORT = study_of(), study_of().with_recipe(n_epochs=1)
MEASURED = '["measured"]'
ROWS = {"long": rows_of(shot_noise_errors(DOSES, spread=0.1)), "short": rows_of({1e3: [0.9], 1e4: [0.4], 1e5: [0.2]})}


def answered(studies, rows=ROWS, *targets):
    return answer_of_runs(studies, rows.__getitem__, targets or (TARGET,))


def test_each_run_has_the_limit_that_it_has_alone():
    answer = answered({"long": LONG, "short": SHORT})
    for name, study in (("long", LONG), ("short", SHORT)):
        (alone,) = answer_of(study, ROWS[name], (TARGET,)).targets[0].doses
        (found,) = (limit for limit in answer.targets[0].doses if limit.run_name == name)
        assert found == alone.model_copy(update={"run_name": name})


def test_no_curve_has_cells_of_two_runs():
    answer = answered({"long": LONG, "short": SHORT})
    values = {curve.run_name: [point.values for point in curve.points] for curve in answer.targets[0].curves}
    assert values == {
        "long": [tuple(errors) for errors in shot_noise_errors(DOSES, spread=0.1).values()],
        "short": [(0.9,), (0.4,), (0.2,)],
    }


def test_a_sentence_names_the_run_that_it_is_of():
    answer = answered({"long": LONG, "short": SHORT})
    assert [sentence.partition("(")[2][:6] for sentence in answer.targets[0].sentences[:2]] == ["long, ", "short,"]


def test_settings_in_which_studies_differ_are_named_with_both_values():
    answer = answered({"long": LONG, "short": SHORT})
    assert [(each.key, each.values) for each in answer.differing] == [
        ("recipe.n_epochs", {"long": LONG.recipe.n_epochs, "short": 1})
    ]


def test_every_run_is_asked_for_the_targets_of_all_studies():
    other = Target(phase_error_rad=0.3)
    studies = {
        "long": LONG.model_copy(update={"targets": (TARGET,)}),
        "short": SHORT.model_copy(update={"targets": (other, TARGET)}),
    }
    answer = answer_of_runs(studies, ROWS.__getitem__)
    found = [(each.target.phase_error_rad, [limit.run_name for limit in each.doses]) for each in answer.targets]
    assert found == [(0.1, ["long", "short"]), (0.3, ["long", "short"])]


def test_a_run_without_a_truth_is_named_and_has_no_limit_against_it(tmp_path):
    studies = {"long": LONG, "scan": measured_study(tmp_path, MEASURED)}
    answer = answered(studies, {**ROWS, "scan": []})
    assert {limit.run_name for limit in answer.targets[0].doses} == {"long"}
    assert [note for note in answer.notes if "scan" in note] == [
        "Nothing is known of scan here: target 0.1 rad needs a truth or a reference; add [reference], or give a "
        "resolution."
    ]


def test_a_resolution_against_the_truth_stands_apart_from_one_of_half_sets(tmp_path):
    scan = measured_study(tmp_path, MEASURED).with_recipe(halves="counts")
    answer = answered({"long": LONG, "scan": scan}, {**ROWS, "scan": []}, Target(resolution_px=2))
    found = {each.target.against: {limit.run_name for limit in each.doses} for each in answer.targets}
    assert found == {"truth": {"long"}, "half_sets": {"scan"}}


def test_runs_that_differ_in_doses_alone_are_said_to_be_of_one_study():
    studies = {"low": LONG, "high": study_of(doses=(1e6, 1e7)), "short": SHORT}
    answer = answered(studies, {"low": ROWS["long"], "high": [], "short": ROWS["short"]})
    assert [note.split(":")[0] for note in answer.notes] == [
        "low, high are of one study, but for doses, repeats, devices and places of files"
    ]


@pytest.mark.parametrize(("sides", "n_notes"), [((10.0, 10.0), 0), ((10.0, 20.0), 1)])
def test_pixels_of_other_sizes_are_named(sides, n_notes):
    rows = {
        name: [
            row_of(0.2, dose, fluence_photons_per_nm2=dose / PX2 / side**2, pixel_size_nm=(side, side))
            for dose in DOSES
        ]
        for name, side in zip(("long", "short"), sides, strict=True)
    }
    notes = answered({"long": LONG, "short": SHORT}, rows).notes
    assert [note.split(":")[0] for note in notes] == n_notes * ["Pixels differ (10 nm in long, 20 nm in short)"]


def test_a_run_that_has_just_begun_is_beside_the_others():
    answer = answered({"long": LONG, "short": SHORT}, {**ROWS, "short": []})
    (limit,) = (limit for limit in answer.targets[0].doses if limit.run_name == "short")
    assert (limit.outcome, limit.n_pending) == ("unknown", 9)
    assert answer.targets[0].sentences[1].startswith("In short, close, whole")


def test_runs_none_of_which_can_be_measured_by_the_target_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"add \[reference\]"):
        answered({"scan": measured_study(tmp_path, MEASURED)}, {"scan": []})


def differences_between(errors, other_errors, *, sides_nm=(None, None), target=TARGET):
    rows = {}
    for name, each, side in zip(("long", "short"), (errors, other_errors), sides_nm, strict=True):
        of_pixel = {} if side is None else {"pixel_size_nm": (side, side)}
        rows[name] = [
            row_of(
                error,
                dose,
                repeat,
                **of_pixel,
                **({} if side is None else {"fluence_photons_per_nm2": dose / PX2 / side**2}),
            )
            for dose, of_dose in each.items()
            for repeat, error in enumerate(of_dose)
        ]
    studies = {"long": study_of(repeats=5), "short": study_of(repeats=5).with_recipe(n_epochs=1)}
    found = answer_of_runs(studies, rows.__getitem__, (target,)).targets[0].differences
    return [difference for difference in found if difference.axis == "run"]


def worse(errors, factor):
    return {dose: [factor * error for error in of_dose] for dose, of_dose in errors.items()}


FEW_PHOTONS = shot_noise_errors(DOSES, spread=0.05, repeats=5)
OTHER_DRAWS = shot_noise_errors(DOSES, spread=0.05, repeats=5, seed=1)


def test_a_run_with_twice_the_error_of_shot_noise_needs_four_times_the_fluence():
    (difference,) = differences_between(FEW_PHOTONS, worse(OTHER_DRAWS, 2))
    test = difference.ratio_test
    assert (difference.first, difference.second, difference.lower) == ("long", "short", "long")
    assert test.low < 4 < test.high
    assert test.ratio == pytest.approx(4, rel=0.2)


def test_runs_of_the_same_errors_do_not_differ_beyond_the_spread():
    (difference,) = differences_between(FEW_PHOTONS, OTHER_DRAWS)
    assert difference.verdict == "not_beyond_spread"


def test_fluences_of_runs_with_other_pixels_are_compared_by_area():
    """Pixels of twice the side: as many photons on each are a quarter of the fluence."""
    (difference,) = differences_between(FEW_PHOTONS, OTHER_DRAWS, sides_nm=(10.0, 20.0))
    assert difference.ratio_test.ratio == pytest.approx(0.25, rel=0.2)


def test_a_run_whose_pixels_have_no_size_is_not_compared_with_one_whose_have():
    (difference,) = differences_between(FEW_PHOTONS, OTHER_DRAWS, sides_nm=(10.0, None))
    assert (difference.verdict, difference.ratio_test.why) == ("unknown", "the size of a pixel is known of one alone")

"""Views and recipes beside each other: called different only beyond the spread of repeats, and in words."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from limit_rows import DOSES, TARGET, row_of, rows_of, shot_noise_errors, study_of

from fly64dask.base import FailureKind
from fly64dask.metrics import compare_draws
from fly64dask.records import ManifestRow, answer_of, run_differences
from fly64dask.records.derived import relative_error

FEW = {1e4: [0.10, 0.11, 0.105]}


def completed(rows):
    """The rows with their errors over that of an empty object."""
    return [row.model_copy(update={"relative": relative_error(row, None)}) for row in rows]


def differences_of(loose, close, **changes):
    repeats = max(len(errors) for errors in loose.values())
    study = study_of("loose", "close", doses=tuple(loose), repeats=repeats, **changes)
    return run_differences(study, completed([*rows_of(loose, view="loose"), *rows_of(close)]))


def test_views_that_share_their_photons_are_compared_pair_by_pair():
    """Repeats differ by 5 %, and the views by 10 % in each of them: together the spread hides nothing."""
    found = differences_of(FEW, {1e4: [1.1 * FEW[1e4][0], 1.1001 * FEW[1e4][1], 1.0999 * FEW[1e4][2]]}).differences
    assert [(each.verdict, each.ratio_test.test) for each in found] == [("first_lower", "paired_t")]
    assert found[0].ratio_test.ratio == pytest.approx(1.1, rel=1e-3)


def test_views_with_photons_of_their_own_are_compared_as_groups():
    """Where doses count fluence, an exposure of each view has other photons."""
    (found,) = differences_of(FEW, {1e4: [0.111, 0.121, 0.1155]}, dose_by="fluence").differences
    assert (found.verdict, found.ratio_test.test) == ("not_beyond_spread", "welch_t")


def test_errors_are_compared_over_those_of_an_empty_object():
    assert differences_of(FEW, FEW).quantity == "relative.error_over_empty"


def rows_of_views(errors_of):
    """Rows of views at one dose or several, each with its errors."""
    return [row for view, errors in errors_of.items() for row in rows_of(errors, view=view)]


def test_of_more_than_ten_views_each_is_compared_with_the_first_alone():
    """All pairs of 25 views would be 300 at each dose and split."""
    views = [f"v{number}" for number in range(11)]
    study = study_of(*views, doses=(1e4,), repeats=3)
    errors = {view: {1e4: [0.1 + 0.001 * n, 0.11, 0.105 - 0.001 * n]} for n, view in enumerate(views)}
    found = run_differences(study, completed(rows_of_views(errors)))
    assert [(each.first, each.second) for each in found.differences] == [("v0", view) for view in views[1:]]
    assert found.sentences[0].endswith("Each of the 10 other views is compared with v0 alone, the first of them.")


def test_ten_views_are_compared_in_all_pairs():
    views = [f"v{number}" for number in range(10)]
    study = study_of(*views, doses=(1e4,), repeats=3)
    found = run_differences(study, completed(rows_of_views(dict.fromkeys(views, FEW))))
    assert len(found.differences) == 45
    assert "alone" not in found.sentences[0]


def test_p_is_corrected_for_all_doses_that_are_compared():
    errors = {dose: [0.10, 0.11, 0.105] for dose in DOSES}
    other = {dose: [1.02 * 0.10, 1.04 * 0.11, 1.03 * 0.105] for dose in DOSES}
    alone = differences_of({1e4: errors[1e4]}, {1e4: other[1e4]}).differences[0]
    together = differences_of(errors, other).differences
    assert [each.n_compared for each in together] == [3, 3, 3]
    assert [each.p_corrected for each in together] == pytest.approx([3 * alone.ratio_test.p] * 3)
    assert (alone.verdict, together[0].verdict) == ("first_lower", "not_beyond_spread")


def test_of_one_repeat_nothing_is_said():
    found = differences_of({1e4: [0.1]}, {1e4: [0.3]})
    assert [each.verdict for each in found.differences] == ["unknown"]
    assert found.sentences == ("Nothing can be said of differences between views: one repeat tells no spread.",)


def test_views_that_fail_are_compared_by_how_many_of_their_repeats_do():
    """Five of five against none: one of 252 ways to choose who fails, and the other end."""
    study = study_of("loose", "close", doses=(1e4,), repeats=5)
    failed = {"state": "failed", "returncode": 1, "failure_kind": FailureKind.NOT_FINITE}
    rows = [*rows_of({1e4: [0.1] * 5}), *(row_of(None, 1e4, k, view="loose", **failed) for k in range(5))]
    (found,) = run_differences(study, completed(rows)).differences
    assert (found.lower, found.ratio_test.p) == ("close", pytest.approx(2 / 252))


def test_a_repeat_that_has_not_ended_is_left_out_with_its_partner():
    found = differences_of(FEW, {1e4: FEW[1e4][:2]}).differences[0].ratio_test
    assert (found.n_first, found.n_second) == (2, 2)


def test_each_of_several_objects_counts_once():
    study = study_of("loose", "close", doses=(1e4,), repeats=2)
    source = study.source.model_copy(update={"seed_pair": (1, 2, 3)})
    study = study.model_copy(update={"source": source})
    rows = [
        ManifestRow.model_copy(row_of(0.1 * seed * factor, 1e4, k, view=view), update={"object_seed": seed})
        for seed, factor in ((1, 1.0), (2, 1.1), (3, 1.2))
        for k in range(2)
        for view in ("loose", "close")
    ]
    found = run_differences(study, completed(rows))
    assert (found.unit, found.differences[0].ratio_test.n_first) == ("objects", 3)


def limits_of(loose, close, doses=DOSES):
    study = study_of("loose", "close", doses=doses, repeats=max(len(errors) for errors in loose.values()))
    return answer_of(study, [*rows_of(loose, view="loose"), *rows_of(close)], [TARGET]).targets[0]


def test_limits_that_lie_beyond_the_spread_differ_by_their_factor():
    """Errors twice as high need four times the dose."""
    close = shot_noise_errors(DOSES, spread=0.02)
    found = limits_of({dose: [2 * error for error in errors] for dose, errors in close.items()}, close)
    (difference,) = found.differences
    assert (difference.lower, difference.ratio_test.ratio) == ("close", pytest.approx(1 / 4, rel=0.05))
    assert difference.ratio_test.low <= 1 / 4 <= difference.ratio_test.high
    assert found.sentences[-2].startswith("loose needs 4.0")
    assert " times the fluence of close (whole); p = 0.001" in found.sentences[-2]


def test_limits_that_differ_between_doses_far_apart_are_said_to_be_interpolated():
    """No repeat tells what lies between two doses."""
    said = {}
    for doses in (DOSES, (1e3, 3e3, 9e3, 2.7e4)):
        close = shot_noise_errors(doses, spread=0.02)
        said[doses] = limits_of({dose: [2 * error for error in errors] for dose, errors in close.items()}, close, doses)
    assert said[DOSES].sentences[-1] == (
        "A p is of the spread of repeats alone: doses beside these limits are up to a factor of 10 apart, and the "
        "limits between them are interpolated."
    )
    assert said[1e3, 3e3, 9e3, 2.7e4].sentences[-1].startswith("loose needs ")


def test_a_limit_of_very_many_views_can_differ_beyond_the_spread():
    """p of 1999 draws is at least 0.001, which 60 comparisons would make 0.06: there are as many draws as needed."""
    views = [f"v{number}" for number in range(61)]
    study = study_of(*views, doses=DOSES, repeats=3)
    alike, far = shot_noise_errors(DOSES, spread=0.02), shot_noise_errors(DOSES, spread=0.02, seed=1)
    errors = dict.fromkeys(views, alike) | {
        "v60": {dose: [2 * error for error in of_dose] for dose, of_dose in far.items()}
    }
    found = answer_of(study, rows_of_views(errors), [TARGET]).targets[0].differences
    assert [(each.first, each.second) for each in found if each.lower] == [("v0", "v60")]
    assert found[-1].n_compared == 60


def test_limits_within_the_spread_are_not_ranked():
    found = limits_of(shot_noise_errors(DOSES, spread=0.1), shot_noise_errors(DOSES, spread=0.1, seed=1))
    assert [each.verdict for each in found.differences] == ["not_beyond_spread"]
    assert "No difference beyond the spread of 3 repeats: loose and close (whole)." in found.sentences


def test_limits_without_repeats_are_not_compared():
    errors = shot_noise_errors(DOSES, repeats=1)
    found = limits_of(errors, {dose: [error / 2 for error in of_dose] for dose, of_dose in errors.items()})
    assert "Not compared, as one repeat tells no spread: loose and close (whole)." in found.sentences


def test_a_view_that_does_not_reach_the_target_needs_at_least_what_its_doses_say():
    close = shot_noise_errors(DOSES, spread=0.02)
    far = {dose: [30 * error for error in errors] for dose, errors in close.items()}
    (difference,) = limits_of(far, close).differences
    assert (difference.lower, difference.ratio_test.ratio, difference.ratio_test.low) == ("close", None, None)
    # The highest dose is 20 times the limit of the other, 5e3.
    assert 1 / difference.ratio_test.high == pytest.approx(20, rel=0.1)


def test_draws_beyond_the_doses_tell_no_more_than_that():
    """A limit above 10 is not above one of 20; one above 40 is."""
    first, above = np.log(np.full(99, 20.0)), np.full(99, math.inf)
    ends = (math.log(1.0), math.log(40.0))
    ps = [
        compare_draws(first, above, ends_first=ends, ends_second=(0.0, math.log(highest)), n_first=3, n_second=3).p
        for highest in (10.0, 40.0)
    ]
    assert ps == pytest.approx([1.0, 2 / 100])


def test_differences_are_json():
    found = differences_of(FEW, FEW)
    assert json.loads(found.model_dump_json(exclude_none=True))["differences"][0]["verdict"] == "unknown"

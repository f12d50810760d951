"""What a round of an adaptive study adds: where the doses and repeats lie, when it ends, and what it may spend."""

from __future__ import annotations

import math

import numpy as np
import pytest
from limit_rows import row_of, rows_of, shot_noise_errors, study_of
from scipy.optimize import brentq

from fly64dask.base import FailureKind
from fly64dask.records import next_additions, outlooks, round_line
from fly64dask.study import Adaptive, Addition, SetupAxes, Target, cells

DOSES = (1e3, 1e4, 1e5)
FULL = Adaptive(max_cells=1000)


def adaptive_study(doses=DOSES, repeats=1, adaptive=FULL, **changes):
    changes = {"targets": (Target(phase_error_rad=0.1),)} | changes
    return study_of(doses=doses, repeats=repeats, adaptive=adaptive, **changes)


def round_of(errors, **changes):
    """What is added to a view with these errors, and its outlook."""
    study = adaptive_study(**{"doses": tuple(errors), "repeats": max(map(len, errors.values()))} | changes)
    found = outlooks(study, rows_of(errors))
    return next_additions(study, found), found[0]


def run_to_the_end(study, error_of):
    """Run rounds on errors by a function of the cell; the study with what was added, and the last outlook."""
    for _ in range(200):
        rows = [
            row_of(error_of(cell), cell.dose, cell.repeat, view=cell.view, object_seed=cell.object_seed)
            for cell in cells(study)
        ]
        found = outlooks(study, rows)
        added = next_additions(study, found)
        if not added:
            return study, found
        study = study.model_copy(update={"added": (*study.added, *added)})
    raise AssertionError("it does not end")


def test_without_repeats_the_bracket_is_halved_in_the_logarithm_of_the_dose():
    added, found = round_of(shot_noise_errors(DOSES, repeats=1))
    assert [(each.dose, each.n_repeats, each.round) for each in added] == [(3160, 1, 1)]
    assert found.width == pytest.approx(10)
    assert "between 1e3, which misses, and 1e4, which reaches" in added[0].reason


def test_a_bracket_within_the_factor_is_left_alone():
    added, found = round_of({4500: [0.105], 5500: [0.095]})
    assert added == ()
    assert found.is_narrow
    assert found.width == pytest.approx(5500 / 4500)


def test_an_interval_within_the_factor_is_left_alone_where_its_bracket_is_within_half_a_decade():
    added, found = round_of(shot_noise_errors((1e3, 3e3, 9e3, 3e4), spread=0.01))
    assert (added, found.is_narrow) == ((), True)


def test_a_wide_bracket_gets_a_dose_though_its_interval_is_within_the_factor():
    """Repeats do not tell what the interpolation between doses a decade apart gets wrong."""
    added, found = round_of(shot_noise_errors(DOSES, spread=0.01))
    assert found.width < 1.1
    assert not found.is_narrow
    assert {each.dose for each in added} == {3160.0}


@pytest.mark.parametrize("middle", [3.2, 3.5, 3.8])
def test_rounds_find_the_limit_of_errors_that_drop_within_a_fifth_of_a_decade(middle):
    """From 0.25 to 0.04 rad, with a spread of 1 %: doses a decade apart alone are wrong by up to a factor of 2.3."""

    def typical_rad(dose):
        done = 1 / (1 + math.exp((middle - math.log10(dose)) / 0.1))
        return 0.25 * (0.04 / 0.25) ** done

    rng = np.random.default_rng(1)
    noise = {}

    def error_of(cell):
        return typical_rad(cell.dose) * noise.setdefault(cell, math.exp(0.01 * rng.standard_normal()))

    _, (found,) = run_to_the_end(adaptive_study(repeats=3, adaptive=Adaptive(max_cells=100, factor=1.25)), error_of)
    assert found.is_narrow
    limit = brentq(lambda dose: typical_rad(dose) - 0.1, 1e3, 1e4)
    assert found.limit.lowest.dose == pytest.approx(limit, rel=0.15)


# Eight repeats at each of four doses, two of them close to the limit of 5e3, with a spread of 0.3 in the logarithm.
WIDE_SPREAD = {
    dose: [0.1 * math.sqrt(5e3 / dose) * math.exp(sign * 0.3) for sign in (-1, -0.1, 0.1, 1) * 2]
    for dose in (1e3, 4e3, 6e3, 1e5)
}


def test_doses_close_to_each_other_get_repeats_instead_of_a_dose_between_them():
    added, found = round_of(WIDE_SPREAD, targets=(Target(phase_error_rad=0.1 * math.exp(-0.03)),))
    assert found.width > 1.5  # and the doses are 1.5 apart
    assert {each.dose for each in added} == {4e3, 6e3}
    assert "the spread decides" in added[0].reason
    assert sum(each.n_repeats for each in added) <= 18  # as many again, and one of each dose for odd numbers


def test_the_dose_nearer_to_the_limit_gets_more_repeats():
    """Levels of 0.104 and 0.07 rad at 4e3 and 1e4: the limit of 0.1 is near 4.3e3."""
    spread = [0.7, 1.0, 1.4]
    errors = {dose: [level * each for each in spread] for dose, level in ((1e3, 0.2), (4e3, 0.104), (1e4, 0.07))}
    added, _ = round_of(errors | {1e5: [0.02 * each for each in spread]})
    assert [each.dose for each in added] == [4e3]


@pytest.mark.parametrize("repeats", [2, 3, 4])
def test_repeats_of_half_of_which_must_reach_the_target_become_an_odd_number(repeats):
    added, _ = round_of(shot_noise_errors((1e3, 4e3, 6e3, 1e5), spread=0.2, repeats=repeats, seed=3))
    assert added
    assert all((repeats + each.n_repeats) % 2 for each in added)


@pytest.mark.parametrize(
    ("errors", "dose"),
    [({1e3: [0.09], 1e4: [0.05]}, 100), ({1e3: [0.4], 1e4: [0.2]}, 1e5)],
)
def test_a_target_beyond_the_doses_is_looked_for_a_step_further(errors, dose):
    added, _ = round_of(errors)
    assert [each.dose for each in added] == [dose]


def test_a_step_beyond_doses_far_from_each_other_is_a_decade():
    added, _ = round_of({3e2: [0.09], 1e5: [0.01]})
    assert [each.dose for each in added] == [30]


@pytest.mark.parametrize("error", [0.05, 0.2])
def test_the_search_beyond_the_doses_ends_after_two_decades(error):
    study, (found,) = run_to_the_end(adaptive_study(), lambda cell: error)
    beyond = {each.dose for each in study.added}
    assert beyond == ({100, 10} if error < 0.1 else {1e6, 1e7})
    assert "two decades" in found.obstacle


def test_no_photons_are_added_where_data_without_noise_miss_the_target():
    doses = (1e3, 1e4, "noise_free")
    study = adaptive_study(doses=doses)
    floor = row_of(0.2, 1e9).model_copy(update={"dose": "noise_free", "dose_photons": None})
    found = outlooks(study, [*rows_of({1e3: [0.4], 1e4: [0.3]}), floor])
    assert next_additions(study, found) == ()
    assert found[0].obstacle == "data without noise miss the target too"


def test_where_a_higher_dose_misses_again_repeats_say_whether_it_does():
    added, found = round_of({1e3: [0.2], 3e3: [0.09], 1e4: [0.11], 1e5: [0.02]})
    assert [(each.dose, each.n_repeats) for each in added] == [(3e3, 2), (1e4, 2), (1e5, 2)]
    assert found.width is None


def test_a_view_without_reconstructions_gets_nothing():
    skipped = {"state": "skipped", "returncode": 1, "failure_kind": FailureKind.NOT_SELECTABLE}
    study = adaptive_study()
    found = outlooks(study, [row_of(None, dose, **skipped) for dose in DOSES])
    assert next_additions(study, found) == ()
    assert "not_selectable" in found[0].obstacle


def test_a_dose_whose_cells_all_crashed_is_not_asked_for_again():
    crashed = {"state": "failed", "returncode": 1, "failure_kind": FailureKind.CRASHED}
    earlier = Addition(dose=3160, view="close", split="whole", n_repeats=1, round=1, reason="x")
    study = adaptive_study(added=(earlier,))
    rows = [*rows_of(shot_noise_errors(DOSES, repeats=1)), row_of(None, 3160, **crashed)]
    found = outlooks(study, rows)
    assert next_additions(study, found) == ()
    assert "no cell of dose 3160 counts, 1 crashed" in found[0].obstacle


def test_a_dose_most_of_whose_repeats_crashed_gets_no_more():
    crashed = {"state": "failed", "returncode": 1, "failure_kind": FailureKind.CRASHED}
    errors = {4e3: [0.12], 6e3: [0.08, 0.09, 0.1], 1e5: [0.02] * 3}
    rows = [*rows_of(errors), *(row_of(None, 4e3, repeat, **crashed) for repeat in (1, 2))]
    study = adaptive_study(doses=tuple(errors), repeats=3, adaptive=Adaptive(max_cells=99, factor=1.05))
    found = outlooks(study, rows)
    assert next_additions(study, found) == ()
    assert "2 crashed" in found[0].obstacle


def test_repeats_that_cannot_narrow_what_differs_between_objects_end():
    """Two objects whose limits are a factor 4 apart, with repeats that hardly differ."""
    seeds = (1, 2)
    study = adaptive_study(doses=(1e3, 3e3, 1e4, 1e5), repeats=3, adaptive=Adaptive(max_cells=10_000))
    source = study.source.model_copy(update={"seed_pair": seeds})
    study = study.model_copy(update={"source": source})
    rng = np.random.default_rng(0)
    drawn = {}

    def error_of(cell):
        easier = 2.0 if cell.object_seed == 1 else 1.0
        level = 0.1 * math.sqrt(1e4 / cell.dose) / easier
        return drawn.setdefault(cell, level * math.exp(0.02 * rng.standard_normal()))

    study, (found,) = run_to_the_end(study, error_of)
    assert not found.is_narrow
    assert "32 repeats" in found.obstacle


def test_each_view_gets_doses_of_its_own():
    targets = (Target(phase_error_rad=0.1),)
    study = study_of("loose", "close", doses=DOSES, repeats=1, targets=targets, adaptive=FULL)
    rows = [
        *rows_of(shot_noise_errors(DOSES, repeats=1), view="close"),
        *rows_of({dose: [2 * e[0]] for dose, e in shot_noise_errors(DOSES, repeats=1).items()}, view="loose"),
    ]
    added = next_additions(study, outlooks(study, rows))
    assert {each.view: each.dose for each in added} == {"close": 3160, "loose": 31600}


def test_each_setup_gets_doses_of_its_own():
    setup = SetupAxes.model_validate({"gap_px": [0, 2]})
    study = adaptive_study(setup=setup)
    errors = shot_noise_errors(DOSES, repeats=1)
    rows = [
        *(row.model_copy(update={"setup_name": "gap_px_0"}) for row in rows_of(errors)),
        *(
            row.model_copy(update={"setup_name": "gap_px_2"})
            for row in rows_of({d: [2 * e[0]] for d, e in errors.items()})
        ),
    ]
    added = next_additions(study, outlooks(study, rows))
    assert {each.setup_name: each.dose for each in added} == {"gap_px_0": 3160, "gap_px_2": 31600}
    assert "close, whole, gap_px_2: 1 x 3.16e4" in round_line(study, added)


def test_the_widest_limits_come_first_where_cells_are_short():
    study = study_of(
        "loose", "close", doses=(1e3, 4e3, 1e5), repeats=1, targets=(Target(phase_error_rad=0.1),),
        adaptive=Adaptive(max_cells=1),
    )  # fmt: skip
    rows = [
        *rows_of({1e3: [0.2], 4e3: [0.09], 1e5: [0.01]}, view="loose"),
        *rows_of({1e3: [0.3], 4e3: [0.2], 1e5: [0.01]}, view="close"),
    ]
    assert [each.view for each in next_additions(study, outlooks(study, rows))] == ["close"]


def test_cells_that_were_added_before_count_against_the_most():
    earlier = Addition(dose=3160, view="close", split="whole", n_repeats=1, round=1, reason="x")
    study = adaptive_study(adaptive=Adaptive(max_cells=1), added=(earlier,))
    rows = rows_of(shot_noise_errors((*DOSES, 3160), repeats=1))
    assert next_additions(study, outlooks(study, rows)) == ()


def test_a_limit_that_was_lowered_below_what_was_added_takes_nothing_away():
    earlier = Addition(dose=3160, view="close", split="whole", n_repeats=5, round=1, reason="x")
    study = adaptive_study(adaptive=Adaptive(max_cells=2), added=(earlier,))
    rows = rows_of(shot_noise_errors((*DOSES, 3160), repeats=1))
    assert next_additions(study, outlooks(study, rows)) == ()


def test_rounds_are_numbered_on():
    earlier = Addition(dose=3160, view="close", split="whole", n_repeats=1, round=1, reason="x")
    study = adaptive_study(added=(earlier,))
    added = next_additions(study, outlooks(study, rows_of(shot_noise_errors((*DOSES, 3160), repeats=1))))
    assert [(each.dose, each.round) for each in added] == [(5620, 2)]


@pytest.mark.parametrize(("spread", "most"), [(0.1, 75), (0.2, 300)])
@pytest.mark.parametrize("seed", range(3))
def test_rounds_end_at_a_limit_as_narrow_as_wanted_for_about_the_cells_that_it_takes(seed, spread, most):
    """Medians of n repeats, n / 2 at each of two doses, have a limit known to 1.25 spread / (0.5 sqrt(n)) in its
    logarithm: a 90 % interval of a factor 1.25, 3.29 times as wide, takes n = 54 with a spread of 0.1, 217 with 0.2.
    """
    rng = np.random.default_rng(seed)
    drawn = {}

    def error_of(cell):
        return drawn.setdefault(cell, 0.1 * math.sqrt(5e3 / cell.dose) * math.exp(spread * rng.standard_normal()))

    study, (found,) = run_to_the_end(adaptive_study(repeats=3), error_of)
    assert found.is_narrow
    low, high = found.limit.interval.doses
    assert high / low <= 1.25
    assert len(cells(study)) <= most


def test_the_same_rows_give_the_same_cells():
    errors = shot_noise_errors(DOSES, spread=0.4, seed=1)
    assert round_of(errors)[0] == round_of(errors)[0]

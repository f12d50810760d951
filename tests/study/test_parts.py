"""The part of a study that can be shown: few cells, evenly chosen, all of them the study's own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st
from several import several_study
from tiny import tiny_study

from fly64dask.base import InputError
from fly64dask.study import cells, part_of_study


def study_of(n_doses, repeats=1):
    return tiny_study(doses_photons=tuple(float(dose) for dose in range(1, n_doses + 1)), repeats=repeats)


def test_a_small_study_is_its_own_part():
    study = study_of(3)
    assert part_of_study(study, 18) is study


def test_doses_of_a_part_lie_evenly_with_both_ends():
    # Six cells a dose: four doses fit.
    assert part_of_study(study_of(100), 24).doses_photons == (1.0, 34.0, 67.0, 100.0)


def test_first_repeats_stay():
    part = part_of_study(study_of(1, repeats=40), 60)
    assert {cell.repeat for cell in cells(part)} == set(range(10))


def test_objects_are_chosen_too():
    study = several_study(source=several_study().source.model_copy(update={"seed_pair": tuple(range(40))}))
    assert part_of_study(study, 50).object_seeds == (0, 13, 26, 39)


def test_part_has_the_doses_and_views_that_are_asked_for():
    part = part_of_study(study_of(5), 500, doses=[2.0, 4.0], views=["few"])
    assert {(cell.dose, cell.view) for cell in cells(part)} == {(2.0, "few"), (4.0, "few")}


def test_part_of_a_dose_that_the_study_does_not_have_is_refused():
    with pytest.raises(InputError, match="filter --dose 7"):
        part_of_study(study_of(3), 500, doses=[7.0])


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(1, 30), st.integers(6, 400))
def test_part_is_small_and_of_the_study(n_doses, repeats, n_most):
    study = study_of(n_doses, repeats)
    part = cells(part_of_study(study, n_most))
    assert 0 < len(part) <= n_most
    assert set(part) <= set(cells(study))

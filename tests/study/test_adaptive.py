"""Cells that a run adds to its study: where they stand in the matrix, and which a changed study keeps."""

from __future__ import annotations

import pytest
from tiny import TEXT, tiny_study

from fly64dask.base import InputError
from fly64dask.study import (
    Addition,
    Filters,
    SetupAxes,
    additions_of,
    cells,
    doses_of,
    parse_study,
    skip_reasons,
    with_additions,
)


def addition(dose, n_repeats=1, view="all"):
    return Addition(dose=dose, view=view, split="train", n_repeats=n_repeats, round=1, reason="x")


STUDY = tiny_study(added=(addition(3e4, 2), addition(1e4)))


def test_an_added_dose_stands_among_the_study_s_own_in_its_view_and_split_alone():
    assert doses_of(STUDY) == (1e4, 3e4, 1e5)
    assert [(cell.view, cell.split, cell.repeat) for cell in cells(STUDY) if cell.dose == 3e4] == [
        ("all", "train", 0),
        ("all", "train", 1),
    ]


def test_further_repeats_of_an_own_dose_are_numbered_on():
    own = [cell.repeat for cell in cells(STUDY) if (cell.dose, cell.view, cell.split) == (1e4, "all", "train")]
    assert own == [0, 1]


def test_the_study_s_own_cells_stay_as_they_are():
    assert set(cells(tiny_study())) < set(cells(STUDY))
    assert len(cells(STUDY)) == len(cells(tiny_study())) + 3


def test_each_added_cell_has_its_addition_and_no_other_has_one():
    third = addition(3e4).model_copy(update={"round": 2})
    found = additions_of(STUDY.model_copy(update={"added": (*STUDY.added, third)}))
    assert {(cell.dose, cell.repeat): each.round for cell, each in found.items()} == {
        (3e4, 0): 1,
        (3e4, 1): 1,
        (3e4, 2): 2,
        (1e4, 1): 1,
    }
    assert set(additions_of(STUDY)) == set(cells(STUDY)) - set(cells(tiny_study()))


def test_a_filter_names_an_added_dose():
    left_out = skip_reasons(STUDY, Filters(dose=(3e4,)))
    assert {cell.dose for cell in cells(STUDY) if cell not in left_out} == {3e4}


def test_a_continued_study_keeps_additions_to_the_views_that_it_has():
    study = tiny_study(views=tiny_study().views[1:])
    earlier = tiny_study(added=(addition(3e4), addition(3e4, view="few")))
    assert with_additions(study, earlier).added == (addition(3e4, view="few"),)


GAPS = SetupAxes.model_validate({"gap_px": [0, 2]})


def test_an_added_dose_is_of_its_setup_alone():
    with_gaps = addition(3e4).model_copy(update={"setup_name": "gap_px_2"})
    study = tiny_study(setup=GAPS, added=(with_gaps,))
    assert [cell.setup_name for cell in cells(study) if cell.dose == 3e4] == ["gap_px_2"]
    assert [cell.setup_name for cell in additions_of(study)] == ["gap_px_2"]


def test_a_continued_study_leaves_additions_to_setups_that_it_has_no_more():
    with_gaps = addition(3e4).model_copy(update={"setup_name": "gap_px_2"})
    earlier = tiny_study(setup=GAPS, added=(with_gaps,))
    assert with_additions(tiny_study(setup=GAPS), earlier).added == (with_gaps,)
    assert with_additions(tiny_study(), earlier).added == ()


def test_additions_of_doses_that_count_something_else_are_left():
    assert with_additions(tiny_study(dose_by="total"), STUDY).added == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("adaptive = {max_cells = 3}", "the study has 0 targets"),
        ("targets = [{phase_error_rad = 0.1}]\nadaptive = {max_cells = 3, target = 1}", "has 1 target,"),
        ("targets = [{phase_error_rad = 0.1}]\nadaptive = {max_cells = 3, factor = 1}", "factor"),
        ("targets = [{phase_error_rad = 0.1}]\nadaptive = {}", "max_cells"),
    ],
)
def test_rounds_that_cannot_be_are_refused(text, problem):
    with pytest.raises(InputError, match=problem):
        parse_study(TEXT.replace("recipe =", f"{text}\nrecipe ="), origin="x.toml")

"""Errors over those of an empty object and over the floor, what limits a cell, and the marks that follow."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from manifest_rows import row_of_cell
from several import several_study
from tiny import tiny_study

from fly64dask.metrics import TruthMetrics
from fly64dask.records import (
    ALL_MARKS,
    STATE_SIGNS,
    RowContext,
    caveats_of,
    floor_note,
    legend_of,
    marks_of,
)
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Remedy, cells

STUDY = tiny_study(doses_photons=(1e4, "noise_free"))
EMPTY_RAD = 0.25
CELL = Cell(dose=1e4, view="all", split="train")


def row_of(error_rad=None, cell=CELL, **fields):
    metrics = None
    if error_rad is not None:
        metrics = TruthMetrics.model_construct(
            phase_rmse_rad=error_rad,
            empty_phase_rmse_rad=EMPTY_RAD,
            no_better_than_empty=error_rad >= EMPTY_RAD,
            n_pixels=100,
        )
    return row_of_cell(cell, metrics=metrics, **fields)


def completed(*rows, study=STUDY):
    known = {row.cell: row for row in rows}
    return [*RowContext(study, RunLayout(None), known.get).complete_all(rows)]


def relative(error_rad, floor_rad, late_loss_fall=0.0, **of_floor):
    floor = row_of(floor_rad, dose="noise_free", late_loss_fall=late_loss_fall, **of_floor)
    return completed(row_of(error_rad), floor)[0].relative


def test_error_stands_over_that_of_an_empty_object_and_over_the_floor():
    found = relative(0.1, 0.02)
    assert (found.error_over_empty, found.floor_rad, found.error_over_floor) == pytest.approx((0.4, 0.02, 5.0))


@pytest.mark.parametrize(
    ("error_rad", "late_loss_fall", "limit"),
    [
        (0.0301, 0.3, "photons"),
        (0.0301, None, "photons"),
        (0.0299, 0.3, "convergence"),
        (0.0299, 0.03, "convergence"),
        (0.0299, 0.029, "model"),
        (0.0299, -0.1, "model"),
        (0.0299, None, "unknown"),
    ],
)
def test_cell_is_limited_by_photons_above_one_and_a_half_floors_else_by_what_limits_the_floor(
    error_rad, late_loss_fall, limit
):
    assert relative(error_rad, 0.02, late_loss_fall).limited_by == limit


def test_noise_free_cell_is_its_own_floor():
    found = completed(row_of(0.02, dose="noise_free", late_loss_fall=0.2))[0].relative
    assert (found.error_over_floor, found.limited_by) == (1.0, "convergence")


@pytest.mark.parametrize("other", [{"view": "few"}, {"split": "test"}, {"state": "failed", "failure_kind": "crashed"}])
def test_floor_is_unknown_without_a_noise_free_cell_of_the_same_view_and_split(other):
    found = relative(0.1, 0.02, **other)
    assert (found.floor_rad, found.error_over_floor, found.limited_by) == (None, None, "unknown")


def test_floor_is_of_the_same_recipe_and_object():
    study = several_study(doses_photons=(1e5, "noise_free"))
    floors = {cell: 0.01 * i for i, cell in enumerate(cells(study), 1) if cell.dose == "noise_free"}
    rows = [row_of(floors.get(cell, 0.1), cell) for cell in cells(study)]
    for row in completed(*rows, study=study):
        assert row.relative.floor_rad == floors[replace(row.cell, dose="noise_free")]


def test_cell_with_a_remedy_has_no_floor_of_one_without():
    guarded = row_of(0.1, remedy=Remedy(kind="guarded"))
    found, _ = completed(guarded, row_of(0.02, dose="noise_free"))
    assert found.relative.limited_by == "unknown"


def test_repeats_share_their_floor():
    rows = completed(row_of(0.02, dose="noise_free"), *(row_of(0.1, repeat=repeat) for repeat in range(2)))
    assert [row.relative.floor_rad for row in rows] == [0.02] * 3


def test_cell_that_was_not_compared_with_a_truth_has_no_relative_error():
    assert completed(row_of(final_loss=1.0))[0].relative is None


def test_floor_is_unknown_to_a_study_without_noise_free_cells_and_it_says_so():
    study = tiny_study(doses_photons=(1e4,))
    assert completed(row_of(0.1), study=study)[0].relative.limited_by == "unknown"
    assert "floor unknown" in floor_note(study)
    assert floor_note(STUDY) is None


def signs(*rows):
    return [mark.sign for mark in marks_of(rows)]


def test_photon_limited_cell_has_no_mark():
    assert signs(completed(row_of(0.1), row_of(0.02, dose="noise_free"))[0]) == []


@pytest.mark.parametrize(("late_loss_fall", "sign"), [(0.3, "⌊epochs"), (0.0, "⌊model")])
def test_cell_at_its_floor_is_marked_by_what_limits_it(late_loss_fall, sign):
    floor = row_of(0.02, dose="noise_free", late_loss_fall=late_loss_fall)
    assert signs(completed(row_of(0.025), floor)[0]) == [sign]


@pytest.mark.parametrize(
    ("fields", "sign"),
    [
        ({"underdetermined": True}, "?"),
        ({"remedy": Remedy(kind="guarded")}, "*"),
        ({"dose_deviation": "62 photons instead of 100"}, "≠ dose"),
        ({"outdated": "of other data"}, "≠ study"),
    ],
)
def test_cell_is_marked_by_each_thing_that_must_be_known_of_it(fields, sign):
    assert signs(row_of(0.1).model_copy(update=fields)) == [sign]
    assert signs(row_of(0.25).model_copy(update=fields)) == ["≥ empty", sign]


def test_repeats_are_marked_by_the_means_of_their_errors():
    above, below = row_of(0.3), row_of(0.1)
    assert signs(above, below) == []
    assert signs(above, above, below) == []
    assert signs(above, above, above, below) == ["≥ empty"]


def test_repeats_are_marked_if_one_of_them_is():
    assert signs(row_of(0.1), row_of(0.1, underdetermined=True)) == ["?"]


def test_cell_without_a_reconstruction_has_no_mark():
    assert signs(row_of(state="failed", failure_kind="crashed", underdetermined=True)) == []


def test_cell_without_a_reconstruction_is_marked_where_it_is_not_of_the_study():
    failed = row_of(state="failed", failure_kind="crashed").model_copy(update={"outdated": "of an older recipe"})
    assert signs(failed) == ["≠ study"]
    assert signs(failed, row_of(0.3)) == ["≥ empty", "≠ study"]


def test_legend_explains_each_sign_of_the_matrix_once():
    rows = [row_of(0.3, split=split, underdetermined=True) for split in ("train", "test")]
    assert [mark.sign for mark in legend_of(STUDY, rows)] == ["≥ empty", "?"]


def test_caveat_names_what_the_guard_did_not_follow_of_the_studys_recipe():
    study = tiny_study(batching="compact", optimise_probe=False)
    (row,) = completed(row_of(0.1, underdetermined=True, n_kept=1), study=study)
    assert row.overridden == ("batching = 'compact'",)
    assert caveats_of(row) == ["underdetermined (?), not followed: batching = 'compact'"]


def test_cell_of_another_study_does_not_say_what_the_guard_did_not_follow():
    study = tiny_study(batching="compact")
    (row,) = completed(row_of(0.1, underdetermined=True, cell_key="x", digests={}, recipe_key="older"), study=study)
    assert (row.outdated, row.overridden) == ("of an older recipe", None)


def test_no_mark_looks_like_a_state():
    assert not {mark.sign for mark in ALL_MARKS} & set(STATE_SIGNS.values())
    assert len(set(STATE_SIGNS.values())) == len(STATE_SIGNS)


def test_no_two_marks_look_alike():
    for one, other in itertools.combinations(ALL_MARKS, 2):
        assert one.sign != other.sign
        assert one.words != other.words


def test_caveats_of_a_cell_name_what_is_outdated():
    assert caveats_of(row_of(0.1).model_copy(update={"outdated": "of an older recipe"})) == ["of an older recipe"]

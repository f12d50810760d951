"""A failed cell tried again: what is chosen, what a remedy changes, what stays. Real Zarr, the engine of the tests."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from faulty_engine import ENGINE
from finished_runs import SIX_CELLS
from manifest_rows import row_of_cell
from one_cell import request_of, run_one
from pydantic import ValidationError
from tiny import tiny_study

from fly64dask.base import Failure, FailureKind
from fly64dask.cells import Rerun, commit_lost, open_inputs
from fly64dask.datasets import expose_split, select_view
from fly64dask.records import (
    read_kept_group,
    read_last_row,
    read_record,
    read_row,
    read_rows,
    write_manifest,
)
from fly64dask.runs import verify_run
from fly64dask.runs.rerun import plan_rerun
from fly64dask.store import RunLayout, ScanAttributes, ViewAttributes, open_group
from fly64dask.study import GUARDED_MAX_EPOCHS, Cell, Filters, Recipe, Remedy, StrideView, cells, remedied_recipe

STUDY = SIX_CELLS
CELL = Cell(dose=1e5, view="one", split="train")  # keeps one exposure: degenerate
GUARDED, AS_IS = Remedy(kind="guarded"), Remedy(kind="as-is")
FIVE = ("selection_strategy", "acceptance_rate", "spacing_threshold", "n_accepted", "n_rejected")


@pytest.fixture
def fail_as(engine_faults):
    """Tell the engine how to fail at a cell; it does not unless told to."""

    def tell(fault, cell=CELL):
        (engine_faults / "faults.json").write_text(json.dumps({cell.name.replace("/", "-"): fault}))

    yield tell
    tell(None)


@pytest.fixture
def layout(six_cells, tmp_path):
    """A run with two degenerate cells of six."""
    shutil.copytree(six_cells.root, tmp_path / "run")
    return RunLayout(tmp_path / "run")


def silent(epoch, loss):
    pass


def run(layout, study=STUDY, cell=CELL):
    return run_one(study, cell, layout, None, silent, engine=ENGINE)


def try_again(layout, remedy, study=STUDY, cell=CELL):
    if remedy.spacing_threshold is not None:
        select_view(study, cell.view, cell.split, layout, threshold_px=remedy.spacing_threshold)
    return run_one(study, cell, layout, None, silent, engine=ENGINE, rerun=Rerun(remedy=remedy))


def positions_of(layout):
    return open_group(layout.scan_group(), ScanAttributes).read("positions_px")


def plan(layout, wanted, **options):
    rows = read_rows(layout, cells(STUDY))
    return plan_rerun(STUDY, rows, wanted, lambda: positions_of(layout), **options)


def respace_of(layout) -> Remedy:
    (planned,) = [one for one in plan(layout, "respace") if one.cell == CELL]
    return planned.remedy


def test_guarded_rerun_completes_a_degenerate_cell_and_flags_it(layout):
    before = read_record(layout, CELL)
    outcome = try_again(layout, GUARDED)
    record = read_record(layout, CELL)
    assert outcome.failure is None
    assert (record.state, record.underdetermined, record.attempt) == ("completed", True, 2)
    assert (record.remedy, record.selection) == (GUARDED, before.selection)
    assert (record.recipe.guarded, record.recipe.optimise_probe) == (True, False)
    assert record.unremedied_key == before.cell_key != record.cell_key


def test_manifest_row_keeps_the_first_failure_with_its_selection(layout):
    first = read_row(layout, CELL)
    try_again(layout, GUARDED)
    row = read_row(layout, CELL)
    assert (row.state, row.remedy, row.attempt) == ("completed", GUARDED, 2)
    assert [(line.attempt, line.state, line.failure_kind, line.remedy) for line in row.attempts] == [
        (1, "failed", "degenerate_scan", None),
        (2, "completed", None, GUARDED),
    ]
    for line in row.attempts:
        assert [getattr(line, name) for name in FIVE] == [getattr(first, name) for name in FIVE]
        assert line.started_at <= line.finished_at
    assert row.attempts[0].error == first.error


def test_manifest_row_of_a_cell_without_history_names_no_attempts(layout):
    assert read_row(layout, CELL).attempts is None


@pytest.mark.parametrize("make", [lambda layout: GUARDED, respace_of])
def test_later_run_keeps_what_a_remedy_completed(layout, make):
    try_again(layout, make(layout))
    before = layout.record_file(CELL).read_bytes()
    outcome = run(layout)
    assert (outcome.was_done, outcome.failure) == (True, None)
    assert layout.record_file(CELL).read_bytes() == before


def test_later_run_keeps_a_respaced_cell_whose_beams_overlap_otherwise(layout):
    """Its record has the overlap of the exposures that the remedy keeps, and not of those of the study's view."""
    wide = STUDY.model_copy(update={"overlap": STUDY.overlap.model_copy(update={"diameter_px": 200.0})})
    select_view(wide, "one", "train", layout)
    run(layout, study=wide)
    try_again(layout, respace_of(layout), study=wide)
    before = read_record(layout, CELL)
    assert before.group_overlap > 0
    assert run(layout, study=wide).was_done
    assert read_record(layout, CELL) == before


def test_later_run_with_another_recipe_runs_unremedied(layout):
    try_again(layout, GUARDED)
    run(layout, study=tiny_study(doses_photons=(1e5,), n_epochs=3))
    record, row = read_record(layout, CELL), read_row(layout, CELL)
    assert (record.attempt, record.failure_kind, record.remedy) == (3, "degenerate_scan", None)
    assert [line.state for line in row.attempts] == ["failed", "completed", "failed"]


def test_later_run_keeps_a_cell_that_no_remedy_could_complete(layout, fail_as):
    fail_as("singular")
    try_again(layout, GUARDED)
    assert read_record(layout, CELL).failure_kind == "singular_matrix"
    assert run(layout).was_done


def test_rerun_that_fails_too_is_one_more_attempt(layout, fail_as):
    fail_as("raise")
    try_again(layout, GUARDED)
    assert [line.failure_kind for line in read_row(layout, CELL).attempts] == ["degenerate_scan", "crashed"]


def test_rerun_does_not_repeat_a_remedy_that_gives_the_same_failure_again(layout, fail_as):
    fail_as("singular")
    try_again(layout, GUARDED)
    assert try_again(layout, GUARDED).was_done
    assert read_record(layout, CELL).attempt == 2


def test_rerun_repeats_a_remedy_whose_failure_may_pass(layout, fail_as):
    fail_as("raise")
    try_again(layout, GUARDED)
    fail_as(None)
    assert try_again(layout, GUARDED).failure is None
    assert read_record(layout, CELL).attempt == 3


def test_rerun_as_is_tries_again_what_the_same_input_gives_again(layout):
    assert not try_again(layout, AS_IS).was_done
    record = read_record(layout, CELL)
    assert (record.attempt, record.failure_kind, record.remedy) == (2, "degenerate_scan", AS_IS)
    assert record.unremedied_key == record.cell_key


def test_rerun_leaves_a_completed_cell_alone(layout):
    try_again(layout, GUARDED)
    assert try_again(layout, AS_IS).was_done
    assert read_record(layout, CELL).attempt == 2


def test_respaced_cell_has_a_group_of_its_own(layout):
    group = layout.view_group("one", "train")
    before = open_group(group, ViewAttributes)
    remedy = respace_of(layout)
    try_again(layout, remedy)
    record, row = read_record(layout, CELL), read_row(layout, CELL)
    found = open_group(read_kept_group(layout, CELL), ViewAttributes)
    assert open_group(group, ViewAttributes) == before
    assert (record.state, record.underdetermined, record.remedy) == ("completed", False, remedy)
    assert record.selection == found.attributes.selection
    assert record.digests["kept_indices"] == found.array_sha256["kept_indices"]
    assert (row.spacing_threshold, row.remedy.study_spacing_threshold) == (remedy.spacing_threshold, 60.0)
    assert row.n_kept == row.n_accepted >= 4
    assert [line.spacing_threshold for line in row.attempts] == [60.0, remedy.spacing_threshold]


def test_respaced_cells_of_all_doses_share_one_group(layout):
    study = tiny_study(n_epochs=2)
    for dose in (1e4, 1e5):
        expose_split(study, dose, "train", layout)
        try_again(layout, respace_of(layout), study=study, cell=Cell(dose=dose, view="one", split="train"))
    assert len(list(layout.respaced_folder("one").glob("*/train"))) == 1


def test_rerun_blocked_by_its_spacing_says_so(layout):
    blocked = Failure(kind=FailureKind.STORAGE_FAILED, message="no room for the kept indices")
    rerun = Rerun(remedy=respace_of(layout), blocked_by=blocked)
    run_one(STUDY, CELL, layout, None, silent, engine=ENGINE, rerun=rerun)
    record = read_record(layout, CELL)
    assert (record.failure_kind, record.error) == ("storage_failed", "no room for the kept indices")


def test_respaced_cell_of_a_view_that_cannot_be_selected_is_kept_by_a_later_run(layout):
    """Its study's view has no group; the reason for that is its key."""
    blocked = Failure(kind=FailureKind.NOT_SELECTABLE, message="keeps too few")
    remedy = respace_of(layout)
    select_view(STUDY, "one", "train", layout, threshold_px=remedy.spacing_threshold)
    run_one(STUDY, CELL, layout, blocked, silent, engine=ENGINE)
    assert read_record(layout, CELL).state == "skipped"
    run_one(STUDY, CELL, layout, blocked, silent, engine=ENGINE, rerun=Rerun(remedy=remedy))
    assert read_record(layout, CELL).state == "completed"
    assert run_one(STUDY, CELL, layout, blocked, silent, engine=ENGINE).was_done


def test_commit_lost_of_a_rerun_is_an_attempt_with_its_remedy(layout):
    lost = Failure(kind=FailureKind.WORKER_LOST, message="its workers died")
    commit_lost(request_of(STUDY, CELL, layout, engine=ENGINE, rerun=Rerun(remedy=GUARDED)), lost)
    record = read_record(layout, CELL)
    assert (record.attempt, record.failure_kind, record.remedy) == (2, "worker_lost", GUARDED)


def test_damaged_history_record_is_named_and_not_fatal(layout):
    try_again(layout, AS_IS)
    try_again(layout, GUARDED)
    past = layout.history_directory(CELL, 1) / "record.json"
    past.write_text(past.read_text().replace("degenerate", "different"))
    row = read_row(layout, CELL)
    assert [(line.attempt, line.state) for line in row.attempts] == [(1, "damaged"), (2, "failed"), (3, "completed")]
    assert "does not match its SHA-256" in row.attempts[0].error


def test_damaged_record_keeps_its_history_in_the_manifest(layout):
    try_again(layout, GUARDED)
    layout.record_file(CELL).write_text("{")
    assert [line.state for line in read_row(layout, CELL).attempts] == ["failed", "damaged"]


def test_last_row_is_that_of_an_attempt_that_a_killed_process_moved_aside(layout):
    history = layout.history_directory(CELL, 1)
    history.parent.mkdir(parents=True)
    layout.cell_directory(CELL).rename(history)
    assert read_row(layout, CELL) is None
    assert read_last_row(layout, CELL).failure_kind == "degenerate_scan"
    assert try_again(layout, GUARDED).failure is None
    assert [line.state for line in read_row(layout, CELL).attempts] == ["failed", "completed"]


def test_verify_run_finds_nothing_wrong_after_reruns(layout):
    try_again(layout, respace_of(layout))
    try_again(layout, GUARDED, cell=Cell(dose=1e5, view="one", split="test"))
    write_manifest(STUDY, layout, Filters(), {}, read_rows(layout, cells(STUDY)))
    assert verify_run(STUDY, layout) == ()


@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_verify_run_finds_damage_in_a_respaced_group(layout, damage):
    try_again(layout, respace_of(layout))
    write_manifest(STUDY, layout, Filters(), {}, read_rows(layout, cells(STUDY)))
    group = read_kept_group(layout, CELL)
    if damage == "delete":
        shutil.rmtree(group)
    else:
        chunk = group / "kept_indices" / "c.0"
        chunk.write_bytes(bytes([chunk.read_bytes()[0] ^ 1]) + chunk.read_bytes()[1:])
    where = str(group.relative_to(layout.root))
    assert any(found.path.startswith(where) for found in verify_run(STUDY, layout))


def test_verify_run_finds_a_history_record_that_was_changed(layout):
    try_again(layout, GUARDED)
    write_manifest(STUDY, layout, Filters(), {}, read_rows(layout, cells(STUDY)))
    (layout.history_directory(CELL, 1) / "record.json").unlink()
    assert [damage.path for damage in verify_run(STUDY, layout)] == ["reconstruction_manifest.json"]


def test_cell_inputs_of_a_respaced_cell_keep_what_its_spacing_keeps(layout):
    remedy = respace_of(layout)
    select_view(STUDY, "one", "train", layout, threshold_px=remedy.spacing_threshold)
    inputs = open_inputs(STUDY, layout, CELL, remedy)
    positions = inputs.positions_px
    distances = np.hypot(*(positions[:, None] - positions[None]).transpose(2, 0, 1))
    assert distances[~np.eye(len(positions), dtype=bool)].min() >= remedy.spacing_threshold


def test_plan_rerun_chooses_failed_cells_and_no_other(layout):
    assert [one.cell.view for one in plan(layout, "as-is")] == ["one", "one"]


@pytest.mark.parametrize(("fault", "kind"), [("raise", "as-is"), ("singular", "guarded")])
def test_plan_rerun_guards_only_failures_that_time_does_not_mend(layout, fail_as, fault, kind):
    fail_as(fault)
    run(layout, study=tiny_study(doses_photons=(1e5,), n_epochs=2, on_degenerate="guarded"))
    (planned,) = [one for one in plan(layout, "guarded") if one.cell == CELL]
    assert planned.remedy.kind == kind


def test_plan_rerun_repeats_the_remedy_of_an_attempt_that_time_may_mend(layout, fail_as):
    fail_as("raise")
    try_again(layout, GUARDED)
    assert [one.remedy for one in plan(layout, "respace") if one.cell == CELL] == [GUARDED]
    assert [one.remedy for one in plan(layout, "as-is") if one.cell == CELL] == [AS_IS]


def test_plan_rerun_says_what_a_remedy_changes(layout):
    many = STUDY.model_copy(update={"recipe": Recipe(n_epochs=100)})
    rows = read_rows(layout, [CELL])
    (guarded,) = plan_rerun(many, rows, "guarded", lambda: positions_of(layout))
    (respaced,) = plan_rerun(many, rows, "respace", lambda: positions_of(layout), n_min=5)
    assert (guarded.n_epochs, guarded.n_epochs_after) == (100, GUARDED_MAX_EPOCHS)
    assert (guarded.probe_frozen, guarded.probe_frozen_after) == (False, True)
    assert (guarded.spacing_threshold_after, guarded.n_kept_after) == (60.0, 1)
    assert (respaced.spacing_threshold, respaced.n_kept, respaced.n_epochs_after) == (60.0, 1, 100)
    assert respaced.spacing_threshold_after < 60.0
    assert respaced.n_kept_after >= 5


def test_plan_rerun_respaces_skipped_cells_and_no_other_remedy_does(layout):
    blocked = Failure(kind=FailureKind.NOT_SELECTABLE, message="keeps too few")
    run_one(STUDY, CELL, layout, blocked, silent, engine=ENGINE)
    chosen = {wanted: [one.cell for one in plan(layout, wanted)] for wanted in ("as-is", "guarded", "respace")}
    assert {wanted: CELL in found for wanted, found in chosen.items()} == {
        "as-is": False,
        "guarded": False,
        "respace": True,
    }


def test_plan_rerun_respaces_no_view_that_has_no_spacing():
    study = tiny_study(views=(StrideView(name="third", rule="stride", every=3),))
    row = row_of_cell(Cell(dose=1e5, view="third", split="train"), failure_kind=FailureKind.DEGENERATE_SCAN)
    (planned,) = plan_rerun(study, [row], "respace", lambda: pytest.fail("no position is needed"))
    assert planned.remedy is None
    assert "'third' of rule stride has none; change the view" in planned.hopeless


def test_plan_rerun_says_which_cells_no_remedy_helps(layout, fail_as):
    baseline = Cell(dose=1e5, view="all", split="train")
    fail_as("singular", baseline)
    run(layout, study=tiny_study(doses_photons=(1e5,), n_epochs=3), cell=baseline)
    layout.record_file(CELL).write_text("{")
    hopeless = {one.cell: one.hopeless for one in plan(layout, "respace") if one.remedy is None}
    assert "'all' of rule baseline has none" in hopeless[baseline]
    assert "verify RUN --repair" in hopeless[CELL]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "respace"},
        {"kind": "guarded", "spacing_threshold": 40.0},
        {"kind": "respace", "spacing_threshold": 40.0, "study_spacing_threshold": 60.0},
        {"kind": "shake"},
    ],
)
def test_remedy_refuses_what_it_cannot_mean(fields):
    with pytest.raises(ValidationError):
        Remedy(**fields)


def test_remedied_recipe_changes_nothing_but_for_a_guard():
    recipe = Recipe(n_epochs=12)
    respaced = Remedy(kind="respace", spacing_threshold=1.0, study_spacing_threshold=2.0, min_exposures=4)
    assert {remedied_recipe(recipe, one) for one in (None, AS_IS, respaced)} == {recipe}
    assert remedied_recipe(recipe, GUARDED).n_epochs == 12
